//! Constants of section 8, with the digits the profile gives.
#![expect(clippy::excessive_precision, reason = "the profile's own digits")]

/// −ln 2, the part exact in few bits.
pub(crate) const LN2_HIGH: f32 = -0.693359375;
/// What that leaves of −ln 2.
pub(crate) const LN2_LOW: f32 = 2.12194440e-4;
/// Coefficients, highest power first.
pub(crate) const HORNER: [f32; 6] =
    [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1];
