//! What each kernel is told: the structs of `kernels/params.cuh`, field by field.
//!
//! Addresses come before words, so the structs have no padding; a test compares names, order and sizes with the CUDA source.

use tributary_engine::Choosing;

/// One field: its name, its size in bytes, how often it is there.
pub type Field = (&'static str, usize, usize);

/// Something that is written into a parameter struct.
trait Write {
    const BYTES: usize;
    const COUNT: usize = 1;
    fn write(&self, out: &mut Vec<u8>);
}

impl Write for u64 {
    const BYTES: usize = 8;
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

impl Write for u32 {
    const BYTES: usize = 4;
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

impl Write for f32 {
    const BYTES: usize = 4;
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

impl<T: Write, const N: usize> Write for [T; N] {
    const BYTES: usize = T::BYTES * N;
    const COUNT: usize = N;
    fn write(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|value| value.write(out));
    }
}

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[expect(missing_docs, reason = "the fields are those of kernels/params.cuh, documented there")]
        pub struct $name { $(pub $field: $kind),* }

        impl $name {
            /// The fields in order.
            pub const FIELDS: &'static [Field] =
                &[$((stringify!($field), <$kind as Write>::BYTES, <$kind as Write>::COUNT)),*];

            /// The struct as the kernel reads it.
            pub fn bytes(&self) -> Vec<u8> {
                let mut out = Vec::with_capacity(<Self as Write>::BYTES);
                Write::write(self, &mut out);
                out
            }
        }

        impl Write for $name {
            const BYTES: usize = 0 $(+ <$kind as Write>::BYTES)*;
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write(out);)*
            }
        }
    )*};
}

params! {
    /// A packed matrix on the device.
    Matrix {
        codes: u64, scales: u64, mins: u64, halves: u64, bias: u64,
        layout: u32, rows: u32, blocks: u32, column: u32,
    }
    /// A layer's change by an adapter, in the directory that an adapter's memory begins with.
    Module {
        rank: u32, a_codes: u32, a_scales: u32, a_blocks: u32,
        b_codes: u32, b_scales: u32, b_blocks: u32, b_layout: u32, gains: u32, pad: u32,
    }
    /// Embedding rows of the step's tokens.
    EmbedParams { matrix: Matrix, header: u64, ids: u64, x: u64, width: u32, pad: u32 }
    /// Residual, norm and Q8.
    NormParams {
        header: u64, x: u64, y: u64, weight: u64, codes: u64, scales: u64, weighted: u64, plain: u64, plain_scales: u64,
        gather: u64, row_of: u64, failed: u64, raw: u64,
        count_word: u32, width: u32, stride: u32, scale_stride: u32, eps: f32, pad: u32,
    }
    /// Up to three matrices with the same inputs, and A of the adapters there.
    LinearParams {
        matrices: [Matrix; 3], codes: u64, scales: u64, weighted: u64, out: u64, header: u64, groups: u64, entries: u64, u: u64,
        scaled: u64,
        matrix_count: u32, tiles: u32, stride: u32, scale_stride: u32, out_stride: u32, count_word: u32, layer: u32,
        projection: u32, projections: u32, group_bound: u32, rank_tiles: u32, u_stride: u32, u_plane: u32, pad: u32,
    }
    /// B of the adapters at one place of the compositions.
    ExpandParams {
        u: u64, out: u64, header: u64, groups: u64, entries: u64, places: u64, row_of: u64, failed: u64,
        biases: [u64; 3], rows: [u32; 3], columns: [u32; 3], layer: u32, projection: u32, projections: u32, place: u32,
        out_stride: u32, u_stride: u32, u_plane: u32, pad: u32,
    }
    /// Rotation, Q8, and the cache's new entries.
    RotateParams {
        header: u64, qkv: u64, cos_sin: u64, positions: u64, slots: u64, row_of: u64, failed: u64, queries: u64,
        query_scales: u64, raw: u64, cache: u64, page_bytes: u64, layer_offset: u64,
        heads: u32, kv_heads: u32, width: u32, head_bytes: u32,
    }
    /// Attention, either way.
    AttendParams {
        header: u64, work: u64, positions: u64, table_of: u64, pages: u64, row_of: u64, failed: u64, queries: u64,
        query_scales: u64, cache: u64, page_bytes: u64, layer_offset: u64, scores: u64, most: u64, sums: u64, totals: u64,
        codes: u64, scales: u64, weighted: u64, raw: u64,
        heads: u32, kv_heads: u32, width: u32, head_bytes: u32, stride: u32, scale_stride: u32, segments: u32, scale: f32,
    }
    /// The feed-forward layer's gate.
    ActivateParams {
        header: u64, gate_up: u64, codes: u64, scales: u64, weighted: u64, row_of: u64, failed: u64, raw: u64,
        width: u32, in_stride: u32, stride: u32, scale_stride: u32,
    }
    /// How the token behind a wanted position is chosen.
    Choice {
        wanted: u32, top_k: u32, top_p: u32, min_p: u32, draw_low: u32, draw_high: u32, temperature: f32, pad: u32,
    }
    /// Tokens from logits.
    ChooseParams { header: u64, choices: u64, chosen: u64, logits: u64, ids: u64, vocab: u32, pad: u32 }
    /// The self-test's own kernels.
    VectorParams { x: u64, codes: u64, scales: u64, weighted: u64, failed: u64, count: u32, pad: u32 }
}

impl Choice {
    /// The choice at the `index`-th wanted position of a row, which is the `wanted`-th of the step.
    pub fn of(how: &Choosing, wanted: u32, index: u32) -> Self {
        let draw = how.draw(index);
        Self {
            wanted,
            top_k: how.top_k,
            top_p: how.top_p,
            min_p: how.min_p,
            draw_low: draw as u32,
            draw_high: (draw >> 32) as u32,
            temperature: how.temperature,
            pad: 0,
        }
    }
}

/// Every struct by its name in the CUDA source.
pub const STRUCTS: &[(&str, &[Field])] = &[
    ("Matrix", Matrix::FIELDS),
    ("Module", Module::FIELDS),
    ("EmbedParams", EmbedParams::FIELDS),
    ("NormParams", NormParams::FIELDS),
    ("LinearParams", LinearParams::FIELDS),
    ("ExpandParams", ExpandParams::FIELDS),
    ("RotateParams", RotateParams::FIELDS),
    ("AttendParams", AttendParams::FIELDS),
    ("ActivateParams", ActivateParams::FIELDS),
    ("Choice", Choice::FIELDS),
    ("ChooseParams", ChooseParams::FIELDS),
    ("VectorParams", VectorParams::FIELDS),
];

#[cfg(test)]
mod tests {
    use super::STRUCTS;

    /// The fields of a struct in CUDA source: name, bytes of it all, count.
    fn fields(source: &str, name: &str) -> Vec<(String, usize, usize)> {
        let start = source.find(&format!("struct {name} {{")).unwrap();
        let body = &source[start..start + source[start..].find("};").unwrap()];
        let mut fields = Vec::new();
        for line in body.lines().skip(1) {
            let line = line.split("//").next().unwrap();
            for declaration in line.split(';').map(str::trim).filter(|part| !part.is_empty()) {
                let (kind, names) = declaration.split_once(' ').unwrap();
                let size = match kind {
                    "u64" => 8,
                    "u32" | "float" => 4,
                    nested => fields_bytes(source, nested),
                };
                for field in names.split(',').map(str::trim) {
                    let (field, count) = match field.split_once('[') {
                        Some((field, count)) => (field, count.trim_end_matches(']').parse().unwrap()),
                        None => (field, 1),
                    };
                    fields.push((field.to_owned(), size * count, count));
                }
            }
        }
        fields
    }

    fn fields_bytes(source: &str, name: &str) -> usize {
        fields(source, name).iter().map(|field| field.1).sum()
    }

    #[test]
    fn fields_are_those_of_the_source() {
        let source = include_str!("../../../../../kernels/params.cuh");
        for (name, ours) in STRUCTS {
            let theirs = fields(source, name);
            let ours: Vec<_> =
                ours.iter().map(|(field, bytes, count)| ((*field).to_owned(), *bytes, *count)).collect();
            assert_eq!(ours, theirs, "{name}");
            let mut offset = 0;
            for (field, bytes, count) in &theirs {
                let align = if bytes / count >= 8 { 8 } else { 4 };
                assert_eq!(offset % align, 0, "{name}.{field} would be padded");
                offset += bytes;
            }
            assert_eq!(offset % 8, 0, "{name} would be padded at its end");
        }
    }
}
