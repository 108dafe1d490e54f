// Upper tail of the standard normal distribution. An include: functions only.

fn normal_density(z: f32) -> f32 {
  return 0.3989422804014327 * exp(-0.5 * z * z);
}

// Share above z: by the Taylor series of the share between 0 and z where that converges fast, else by Laplace's continued
// fraction, for a small relative error in the tail.
fn normal_tail(z: f32) -> f32 {
  let a = abs(z);
  var tail = 0.0;
  if (a < 2.5) {
    var term = a;
    var sum = a;
    for (var k = 1; k < 30; k++) {
      term *= a * a / f32(2 * k + 1);
      sum += term;
    }
    tail = 0.5 - normal_density(a) * sum;
  } else {
    var fraction = a;
    for (var k = 30; k > 0; k--) {
      fraction = a + f32(k) / fraction;
    }
    tail = normal_density(a) / fraction;
  }
  return select(tail, 1.0 - tail, z < 0.0);
}
