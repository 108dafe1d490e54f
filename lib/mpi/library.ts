/**
 * An MPI library of the system, found at run time: Open MPI, or one with MPICH's binary interface (MPICH, Intel MPI, MVAPICH).
 * The two differ in what a handle is: the address of an object, or a number.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";

/** Functions of MPI (MPI 3.1) that are used; `h` is a handle. */
function symbolsOf(h: "pointer" | "i32") {
  return {
    MPI_Init_thread: { parameters: ["pointer", "pointer", "i32", "buffer"], result: "i32" },
    MPI_Finalize: { parameters: [], result: "i32" },
    MPI_Abort: { parameters: [h, "i32"], result: "i32" },
    MPI_Comm_rank: { parameters: [h, "buffer"], result: "i32" },
    MPI_Comm_size: { parameters: [h, "buffer"], result: "i32" },
    MPI_Get_library_version: { parameters: ["buffer", "buffer"], result: "i32" },
    MPI_Type_contiguous: { parameters: ["i32", h, "buffer"], result: "i32" },
    MPI_Type_commit: { parameters: ["buffer"], result: "i32" },
    MPI_Isend: { parameters: ["buffer", "i32", h, "i32", "i32", h, "buffer"], result: "i32" },
    MPI_Irecv: { parameters: ["buffer", "i32", h, "i32", "i32", h, "buffer"], result: "i32" },
    MPI_Ialltoallv: {
      parameters: ["buffer", "buffer", "buffer", h, "buffer", "buffer", "buffer", h, h, "buffer"],
      result: "i32",
    },
    MPI_Iallgatherv: {
      parameters: ["buffer", "i32", h, "buffer", "buffer", "buffer", h, h, "buffer"],
      result: "i32",
    },
    MPI_Test: { parameters: ["buffer", "buffer", "pointer"], result: "i32" },
  } as const;
}

/** A handle of MPI: of a communicator or a data type. */
export type Handle = Deno.PointerValue | number;

/** Functions of a library with their handles filled in. */
export interface MpiLibrary {
  readonly path: string;
  /** Its name and version, in its own words. */
  readonly version: string;
  /** Handles of MPI_COMM_WORLD and MPI_BYTE, once MPI has been initialized. */
  handles(): { readonly world: Handle; readonly byte: Handle };
  /** The handle that a function has written. */
  handleIn(words: BigUint64Array<ArrayBuffer>): Handle;
  readonly statusIgnore: Deno.PointerValue;
  readonly call: Functions;
  close(): void;
}

// deno-lint-ignore no-explicit-any -- handles are pointers in one library and numbers in the other
type Functions = Readonly<Record<keyof ReturnType<typeof symbolsOf>, (...args: any[]) => number>>;

/** Variable that names a library. */
export const MPI_LIBRARY = "DENOISE_MPI_LIBRARY";

const OPEN_MPI = ["libmpi.so.40", "libmpi.so.80", "libmpi.so"];
const MPICH = ["libmpich.so.12", "libmpi.so.12", "libmpich.so"];

/** Names of the libraries that the launcher of this process belongs to, the likeliest first. */
export function libraryNames(env: Readonly<Record<string, string | undefined>>): string[] {
  const given = env[MPI_LIBRARY];
  if (given) return [given];
  if (env.OMPI_COMM_WORLD_SIZE !== undefined) return OPEN_MPI;
  if (env.PMI_SIZE !== undefined) return MPICH;
  return [...OPEN_MPI, ...MPICH];
}

/** Values of MPICH's mpi.h, which its binary interface fixes. */
const MPICH_HANDLES = { world: 0x44000000, byte: 0x4c00010d };

/**
 * Opens the first library that is here.
 *
 * @throws {ConfigError} if there is none
 */
export function openMpiLibrary(names: readonly string[]): MpiLibrary {
  const failures: string[] = [];
  for (const path of names) {
    try {
      return openLibrary(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      failures.push(`${path}: ${(error as Error).message}`);
    }
  }
  throw new ConfigError(
    MPI_LIBRARY,
    names.join(", "),
    "a library of MPI that can be loaded: install Open MPI or MPICH (on Debian and Ubuntu: apt-get install openmpi-bin), " +
      `or name its file in ${MPI_LIBRARY} (${failures[0]})`,
  );
}

function openLibrary(path: string): MpiLibrary {
  const { MPI_Get_library_version } = symbolsOf("i32");
  const probe = Deno.dlopen(path, { MPI_Get_library_version });
  const text = new Uint8Array(8192); // MPI_MAX_LIBRARY_VERSION_STRING is 256 in Open MPI, 8192 in MPICH
  const length = new Int32Array(1);
  probe.symbols.MPI_Get_library_version(text, length);
  const version = new TextDecoder().decode(text.subarray(0, length[0])).replace(/\0.*/s, "").trim();
  probe.close();
  return /open mpi/i.test(version) ? openOpenMpi(path, version) : openMpich(path, version);
}

/** Fortran's numbers of MPI_COMM_WORLD and MPI_BYTE in Open MPI: what its C handles can be made from without their addresses. */
const OPEN_MPI_NUMBERS = { world: 0, byte: 1 };

function openOpenMpi(path: string, version: string): MpiLibrary {
  const library = Deno.dlopen(path, {
    ...symbolsOf("pointer"),
    MPI_Comm_f2c: { parameters: ["i32"], result: "pointer" },
    MPI_Type_f2c: { parameters: ["i32"], result: "pointer" },
  });
  const { MPI_Comm_f2c, MPI_Type_f2c, ...call } = library.symbols;
  return {
    ...{ path, version, call: call as unknown as Functions },
    handles: () => ({
      world: MPI_Comm_f2c(OPEN_MPI_NUMBERS.world),
      byte: MPI_Type_f2c(OPEN_MPI_NUMBERS.byte),
    }),
    handleIn: ([address]) => Deno.UnsafePointer.create(address!),
    statusIgnore: null,
    close: () => library.close(),
  };
}

function openMpich(path: string, version: string): MpiLibrary {
  const library = Deno.dlopen(path, symbolsOf("i32"));
  return {
    ...{ path, version, call: library.symbols as unknown as Functions },
    handles: () => MPICH_HANDLES,
    handleIn: (words) => new Int32Array(words.buffer)[0]!,
    statusIgnore: Deno.UnsafePointer.create(1n), // MPI_STATUS_IGNORE
    close: () => library.close(),
  };
}
