// Storage type of activations; arithmetic is float32 in either case. storage.ts generates the variant with float16
// activations. An include: no bindings, no entry point. Loads are `vec4f(x[i])`, stores `y[i] = Stored4(v)`.
alias Stored = f32;
alias Stored4 = vec4f;
