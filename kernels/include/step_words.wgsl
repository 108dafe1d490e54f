// Random words of a training step: Threefry at counter (index, call, step, stream), the run's seed as key. ARCHITECTURE.md has
// the counters of all uses. An include: a function over the kernel's buffer `step_state`.

// include: include/threefry.wgsl

fn step_words(index: u32, call: u32) -> vec4u {
  return threefry4x32(
    vec4u(index, call, step_state.step, step_state.stream),
    vec2u(step_state.seed_lo, step_state.seed_hi),
  );
}
