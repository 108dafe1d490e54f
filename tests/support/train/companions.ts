/** Settings that make sense only beside others: those others, by name. */
export const COMPANIONS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  gamma: { weighting: "min-snr" },
  snapshotEvery: { emaProfiles: [0.1] },
  p2K: { weighting: "p2" },
  huberDelta: { loss: "huber" },
};
