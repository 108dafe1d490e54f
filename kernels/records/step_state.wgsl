// Step state: everything that changes from step to step, written by the CPU once before each submit. An include; layouts.ts
// is generated from it.
struct StepState {
  step: u32,            // micro-batch number in this stream, from 0; part of every Threefry counter
  seed_lo: u32,         // Threefry key, low word of the run's seed
  seed_hi: u32,         // Threefry key, high word
  stream: u32,          // separates uses of a seed: 0 training, 1 validation
  position: u32,        // index into the order buffer of the first sample of this batch
  count: u32,           // number of real samples in the batch; the rest is padding of weight 0
  log_slot: u32,        // index of the step's record in the log buffer
  accumulate: u32,      // 1: add the loss to that of earlier micro-batches; 0: replace it
  learning_rate: f32,   // learning rate of this optimizer step, warm-up included
  bias_correction1: f32,// 1 - beta1^t (Kingma & Ba 2015, algorithm 1)
  bias_correction2: f32,// 1 - beta2^t
  ema_decay: f32,
}
