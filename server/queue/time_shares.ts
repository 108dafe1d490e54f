/**
 * Shares of the device's time between the batches of several models.
 *
 * @module
 */

/** Time of all batches with background jobs alone, relative to that of the others. */
const BACKGROUND_SHARE = 0.25;

/** A batch, as far as its share depends on it. */
export interface Batch {
  /** Network rows in the batch, by client, without those of background jobs. */
  readonly rowsByClient: ReadonlyMap<string, number>;
  /** Images in the batch. */
  readonly images: number;
}

/**
 * Weights of batches. Each client has the same share of time; one with rows in several batches divides it among them in
 * proportion to the rows. Batches of background jobs alone slow the others down by at most a quarter.
 *
 * @returns a weight for each batch, 0 for those without images
 */
export function timeShares(batches: readonly Batch[]): number[] {
  const rows = new Map<string, number>();
  for (const { rowsByClient } of batches) {
    for (const [client, more] of rowsByClient) rows.set(client, (rows.get(client) ?? 0) + more);
  }
  const clients = rows.size;
  const isBackground = ({ rowsByClient, images }: Batch) => rowsByClient.size === 0 && images > 0;
  const background = batches.filter(isBackground).length;
  return batches.map((batch) => {
    if (isBackground(batch)) return clients === 0 ? 1 : BACKGROUND_SHARE * clients / background;
    let weight = 0;
    for (const [client, own] of batch.rowsByClient) weight += own / rows.get(client)!;
    return weight;
  });
}
