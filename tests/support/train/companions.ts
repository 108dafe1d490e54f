/** Settings whose whole range makes sense only beside others: those others, by name. */
export const COMPANIONS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  // Of as many as there can be, only some schedules leave some of the image.
  timesteps: { schedule: "cosine" },
  gamma: { weighting: "min-snr" },
  snapshotEvery: { emaProfiles: [0.1] },
  p2K: { weighting: "p2" },
  huberDelta: { loss: "huber" },
};
