// Record of a sample's augmentation. An include; layouts.ts is generated from it.

// Affine map from the pixels of an augmented image to those of the image that it is made from, both relative to the centre:
// source = (xx x + xy y + x0, yx x + yy y + y0).
struct SourceMap {
  xx: f32,
  xy: f32,
  x0: f32,
  yx: f32,
  yy: f32,
  y0: f32,
}
