/**
 * Operand checks at recording time.
 *
 * @module
 */
import { ShapeError } from "../errors.ts";
import { type ElementType, type Shape, showShape, showType, type Tensor } from "./tensor.ts";

/** @throws {ShapeError} naming operation, operand and both shapes if the shapes differ */
export function expectShape(label: string, operand: string, tensor: Tensor, shape: Shape): void {
  if (tensor.shape.every((size, i) => size === shape[i])) return;
  throw new ShapeError(
    `${label}: ${operand} has shape ${showShape(tensor.shape)}, expected ${showShape(shape)}`,
  );
}

/** @throws {ShapeError} naming operation, operand and all types if the operand's is none of the others */
export function expectType(
  label: string,
  operand: string,
  tensor: Tensor,
  ...types: readonly ElementType[]
): void {
  if (types.includes(tensor.type)) return;
  throw new ShapeError(
    `${label}: ${operand} is ${showType(tensor.type)}, expected ${types.map(showType).join(" or ")}`,
  );
}
