// What changes from step to step, written by the CPU once before each submit and read by every kernel that depends on
// the step. layouts.ts is generated from it.
struct StepState {
  step: u32,            // counts micro-batches of this stream from 0; part of every Threefry counter
  seed_lo: u32,         // Threefry key, low word of the run's seed
  seed_hi: u32,         // Threefry key, high word
  stream: u32,          // separates uses of one seed: 0 training, 1 validation
  position: u32,        // index into the order buffer of the first sample of this batch
  count: u32,           // how many samples of the batch are real; the rest have weight 0
  log_slot: u32,        // where in the log buffer this step writes its loss
  accumulate: u32,      // 1: parameter gradients add to those of the micro-batch before; 0: they replace them
  learning_rate: f32,   // of this optimizer step, warm-up included
  bias_correction1: f32,// 1 - beta1^t (Kingma & Ba 2015, algorithm 1)
  bias_correction2: f32,// 1 - beta2^t
  ema_decay: f32,
}
