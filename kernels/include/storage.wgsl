// How activations lie in memory; arithmetic is float32 whatever they are. storage.ts makes the variant of a kernel whose
// activations are float16. An include: no bindings, no entry point. Loads are `vec4f(x[i])`, stores `y[i] = Stored4(v)`.
alias Stored = f32;
alias Stored4 = vec4f;
