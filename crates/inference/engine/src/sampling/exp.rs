//! The profile's exponential: the same bits on every machine, no libm.

const LOG2E: f32 = std::f32::consts::LOG2_E;
/// −ln 2 in two parts; the first is exact.
#[expect(clippy::excessive_precision, reason = "written as the profile prints them")]
const LN2: [f32; 2] = [-0.693359375, 2.12194440e-4];
#[expect(clippy::excessive_precision, reason = "written as the profile prints them")]
const HORNER: [f32; 6] =
    [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1];

/// `e^x` by range reduction and a polynomial, every operation rounded to f32 or fused as written. Below −87
/// it is 0; above 88 it is that of 88.
pub fn exp(x: f32) -> f32 {
    if x < -87.0 {
        return 0.0;
    }
    let x = if x > 88.0 { 88.0 } else { x };
    let n = (x * LOG2E).round_ties_even();
    let r = n.mul_add(LN2[0], x);
    let r = n.mul_add(LN2[1], r);
    let mut p = HORNER[0];
    for coefficient in &HORNER[1..] {
        p = p.mul_add(r, *coefficient);
    }
    let p = p.mul_add(r * r, r) + 1.0;
    f32::from_bits(p.to_bits().wrapping_add_signed((n as i32) << 23))
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn close_to_the_real_one() {
        let mut x = -87.0f32;
        while x < 88.0 {
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= exact * 2e-7, "{x}");
            x += 0.0137;
        }
    }

    #[test]
    fn corners() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(-87.1), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(100.0), exp(88.0));
    }
}
