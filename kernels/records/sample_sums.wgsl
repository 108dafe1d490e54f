// Work of one workgroup of sample_sums.wgsl. An include: no bindings, no entry point. layouts.ts is generated from it.

// Columns of four channels per workgroup.
const SUM_COLUMNS = 16u;

// Sums of up to SUM_COLUMNS adjacent columns. Positions are vec4s from the start of the bound ranges.
struct SumBlock {
  first: u32,   // its first column in the first row of the values
  stride: u32,  // from a row of the values to the next
  rows: u32,    // values per sum: samples, or parts of samples
  columns: u32, // 1 to SUM_COLUMNS
  result: u32,  // its first column in the sums
}
