//! The committed vectors on the device, run before the first token: one that computes other bits refuses to serve.
//!
//! What has several kernels is run on each of them; all have to agree.

use super::{
    alone::{gains, module_of, packed_adapter},
    model::{PAGE, head_bytes, matrix_at},
    prepare::Bases,
};
use crate::{
    CudaError, Device, DeviceError, Tier,
    launch::{
        Kernel, Launch,
        group::{Adapters, Linears},
        params::{
            ActivateParams, AttendParams, Matrix as MatrixParams, NormParams, RotateParams, VectorParams,
        },
    },
    pack::{Layout, Shape, pack},
    plan::{Arena, Bucket},
};
use std::cell::RefCell;
use tributary_adapters::LoraModule;
use tributary_cpu::{AttentionCase, BLOCK, Primitives, Q8, block, check_vectors};
use tributary_weights::Matrix;

/// Runs every committed case.
pub(super) fn check(device: &mut dyn Device) -> Result<(), CudaError> {
    let checked = OnDevice { device: RefCell::new(device), failed: RefCell::new(None) };
    let outcome = check_vectors(&checked);
    if let Some(error) = checked.failed.into_inner() {
        return Err(error.into());
    }
    outcome.map_err(CudaError::SelfTest)
}

/// Primitives by the kernels. A device that fails gives nothing, and says later why.
struct OnDevice<'a> {
    device: RefCell<&'a mut dyn Device>,
    failed: RefCell<Option<DeviceError>>,
}

/// A case's memory: what goes in, and room for what comes out.
#[derive(Default)]
pub(super) struct Case {
    pub(super) arena: Arena,
    inputs: Vec<(u64, Vec<u8>)>,
    /// Words that are a place's address, which is known once there is one: where they are, and the place.
    pointers: Vec<(u64, u64)>,
}

impl Case {
    pub(super) fn input(&mut self, bytes: Vec<u8>) -> u64 {
        let offset = self.arena.add("input", bytes.len());
        self.inputs.push((offset, bytes));
        offset
    }

    pub(super) fn floats(&mut self, values: &[f32]) -> u64 {
        self.input(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(super) fn words(&mut self, values: &[u32]) -> u64 {
        self.input(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(super) fn output(&mut self, floats: usize) -> u64 {
        self.arena.add("output", floats * 4)
    }
}

/// Vectors in the kernels' order, for tokens of a linear layer.
struct Activations {
    codes: u64,
    scales: u64,
    weighted: u64,
}

fn activations(case: &mut Case, tokens: &[Vec<Q8>]) -> Activations {
    let padded = tokens.first().map_or(0, |blocks| blocks.len().next_multiple_of(8));
    let mut codes = vec![0u8; tokens.len() * padded * BLOCK];
    let (mut scales, mut weighted) = (vec![0.0; tokens.len() * padded], vec![0.0; tokens.len() * padded]);
    for (t, blocks) in tokens.iter().enumerate() {
        for (b, block) in blocks.iter().enumerate() {
            scales[t * padded + b] = block.scale;
            weighted[t * padded + b] = block.weighted;
            for (k, value) in block.values.iter().enumerate() {
                codes[t * padded * BLOCK + fragment(b * BLOCK + k)] = *value as u8;
            }
        }
    }
    Activations { codes: case.input(codes), scales: case.floats(&scales), weighted: case.floats(&weighted) }
}

/// Where value `k` of a vector lies: `fragment` of `kernels/profile.cuh`.
const fn fragment(k: usize) -> usize {
    let (block, quad) = (k / 32, k % 16 / 4);
    k / 256 * 256 + block % 8 / 2 * 64 + quad * 16 + block % 2 * 8 + k % 32 / 16 * 4 + k % 4
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}

impl OnDevice<'_> {
    /// Runs launches made for the case's address; gives what lies at each output afterwards.
    fn run(
        &self,
        case: &Case,
        outputs: &[(u64, usize)],
        launches: impl FnOnce(u64) -> Vec<Launch>,
    ) -> Option<Vec<Vec<u8>>> {
        if self.failed.borrow().is_some() {
            return None;
        }
        let mut device = self.device.borrow_mut();
        let result = run(&mut **device, case, outputs, launches);
        result.map_err(|error| self.failed.borrow_mut().get_or_insert(error).clone()).ok()
    }

    /// The same for one output of floats; nothing if the device failed.
    fn run_floats(
        &self,
        case: &Case,
        out: u64,
        count: usize,
        launches: impl FnOnce(u64) -> Vec<Launch>,
    ) -> Vec<f32> {
        self.run(case, &[(out, count * 4)], launches).map(|parts| floats(&parts[0])).unwrap_or_default()
    }
}

pub(super) fn run(
    device: &mut dyn Device,
    case: &Case,
    outputs: &[(u64, usize)],
    launches: impl FnOnce(u64) -> Vec<Launch>,
) -> Result<Vec<Vec<u8>>, DeviceError> {
    let base = device.allocate(&case.arena)?;
    for (offset, bytes) in &case.inputs {
        device.write(base + offset, bytes)?;
    }
    for (offset, place) in &case.pointers {
        device.write(base + offset, &(base + place).to_le_bytes())?;
    }
    let program = device.program(&launches(base))?;
    device.run(program)?;
    let mut found: Vec<Vec<u8>> = outputs.iter().map(|(_, bytes)| vec![0; *bytes]).collect();
    let mut parts: Vec<(u64, &mut [u8])> =
        outputs.iter().zip(&mut found).map(|((offset, _), bytes)| (base + offset, &mut bytes[..])).collect();
    device.read(&mut parts)?;
    device.forget(program);
    device.free(base);
    Ok(found)
}

/// The one answer that all kernels gave, or none.
fn agreed(answers: &[Vec<f32>]) -> Vec<f32> {
    let bits = |answer: &Vec<f32>| answer.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let same = answers.windows(2).all(|pair| bits(&pair[0]) == bits(&pair[1]));
    answers.first().filter(|_| same).cloned().unwrap_or_default()
}

fn launch(kernel: Kernel, grid: [u32; 3], threads: u32, params: Vec<u8>) -> Vec<Launch> {
    vec![Launch { kernel, grid, threads, params }]
}

/// A header with one count.
pub(super) fn header(word: usize, count: usize) -> [u32; 8] {
    std::array::from_fn(|index| if index == word { count as u32 } else { 0 })
}

impl Primitives for OnDevice<'_> {
    fn quantize(&self, x: &[f32]) -> Option<Vec<Q8>> {
        let (blocks, padded) = (x.len() / BLOCK, x.len().next_multiple_of(256));
        let mut case = Case::default();
        let values = case.floats(x);
        let codes = case.arena.add("codes", padded);
        let (scales, weighted) = (case.output(blocks), case.output(blocks));
        let failed = case.words(&[0]);
        let outputs = [(codes, padded), (scales, blocks * 4), (weighted, blocks * 4), (failed, 4)];
        let found = self.run(&case, &outputs, |base| {
            let params = VectorParams {
                x: base + values,
                codes: base + codes,
                scales: base + scales,
                weighted: base + weighted,
                failed: base + failed,
                count: x.len() as u32,
                pad: 0,
            };
            launch(Kernel::QuantizeBlocks, [blocks as u32, 1, 1], 32, params.bytes())
        })?;
        if found[3] != [0; 4] {
            return None;
        }
        let (scales, weighted) = (floats(&found[1]), floats(&found[2]));
        let one = |b: usize| Q8 {
            values: std::array::from_fn(|k| found[0][fragment(b * BLOCK + k)] as i8),
            scale: scales[b],
            weighted: weighted[b],
        };
        Some((0..blocks).map(one).collect())
    }

    fn linear(&self, matrix: &Matrix, bias: Option<&[f32]>, tokens: &[Vec<Q8>]) -> Vec<f32> {
        let shape =
            Shape { layout: Layout::of(matrix.format()), rows: matrix.rows(), columns: matrix.columns() };
        let mut packed = vec![0; shape.bytes()];
        pack(shape, &mut packed, &|row, b| block(matrix, row, b));
        let mut case = Case::default();
        let weights = case.input(packed);
        let bias = bias.map(|bias| case.floats(bias));
        let x = activations(&mut case, tokens);
        let counts = case.words(&header(0, tokens.len()));
        let count = tokens.len() * shape.rows;
        let out = case.output(count);
        // As if there were room for more tokens than there are: each bound has a kernel of its own.
        let bounds = [8u32, 16, 32, 64].into_iter().filter(|bound| *bound as usize >= tokens.len());
        let answers: Vec<_> = bounds
            .map(|vectors| {
                self.run_floats(&case, out, count, |base| {
                    let bias = bias.map_or(0, |bias| base + bias);
                    let matrices = [MatrixParams { bias, ..matrix_at(base + weights, &shape, 0) }];
                    let linears = linears(&matrices, base, &x, out, vectors, None);
                    let adapters = Adapters { header: base + counts, ..Adapters::default() };
                    let mut launches = Vec::new();
                    linears.push(&adapters, &Bucket { tokens: vectors, ..Bucket::default() }, &mut launches);
                    launches
                })
            })
            .collect();
        agreed(&answers)
    }

    fn lora(&self, a: &[f32], b: &[f32], x: &[Q8], y: &mut [f32]) {
        let inputs = x.len() * BLOCK;
        let Some(rank) = a.len().checked_div(inputs) else { return };
        let Some(adapter) =
            module_of(a, b, inputs, y.len()).and_then(|m| packed_adapter(m, Bases::default()))
        else {
            return;
        };
        let mut case = Case::default();
        let blob = case.input(adapter);
        let x = activations(&mut case, &[x.to_vec()]);
        let out = case.floats(y);
        let tables = Tables::new(&mut case, rank, blob);
        let u = case.output(3 * tables.bucket.rank_tiles as usize * 16);
        let found = self.run_floats(&case, out, y.len(), |base| {
            let matrix = MatrixParams {
                rows: y.len() as u32,
                blocks: (inputs / BLOCK) as u32,
                ..MatrixParams::default()
            };
            let matrices = [matrix];
            let linears = linears(&matrices, base, &x, out, 1, Some(0));
            let (adapters, mut launches) = (tables.adapters(base, u), Vec::new());
            linears.shrink(&adapters, &tables.bucket, &mut launches);
            linears.expands(&adapters, &tables.bucket, &mut launches);
            launches
        });
        if found.len() == y.len() {
            y.copy_from_slice(&found);
        } else {
            y.fill(f32::NAN);
        }
    }

    /// y as if δ had been added: what `expand` adds is B·0.
    fn dora(
        &self,
        base: &Matrix,
        module: &LoraModule,
        magnitude: &[f32],
        y: &[f32],
        bias: &[f32],
    ) -> Vec<f32> {
        let module = LoraModule { magnitude: Some(magnitude.to_vec()), ..module.clone() };
        let rank = module.rank as usize;
        let bases = Bases(vec![std::array::from_fn(|_| base.clone())]);
        let Some(adapter) = packed_adapter(module, bases) else { return Vec::new() };
        let gains = gains(&adapter, y.len());
        let mut case = Case::default();
        let blob = case.input(adapter);
        let (out, bias) = (case.floats(y), case.floats(bias));
        let tables = Tables::new(&mut case, rank, blob);
        let u = case.floats(&vec![0.0; 3 * tables.bucket.rank_tiles as usize * 16]);
        let nothing = Activations { codes: 0, scales: 0, weighted: 0 };
        let mut found = self.run_floats(&case, out, y.len(), |base| {
            let matrix = MatrixParams { rows: y.len() as u32, bias: base + bias, ..MatrixParams::default() };
            let (matrices, mut launches) = ([matrix], Vec::new());
            let linears = linears(&matrices, base, &nothing, out, 1, Some(0));
            linears.expands(&tables.adapters(base, u), &tables.bucket, &mut launches);
            launches
        });
        found.extend(gains);
        found
    }

    fn norm(&self, x: &[f32], w: &[f32], eps: f32) -> Vec<f32> {
        let (width, padded) = (x.len(), x.len().next_multiple_of(256));
        let mut case = Case::default();
        let (values, weight, counts) = (case.floats(x), case.floats(w), case.words(&header(0, 1)));
        let (codes, scales, weighted) =
            (case.arena.add("codes", padded), case.output(padded / 32), case.output(padded / 32));
        let (row_of, failed, out) = (case.words(&[0]), case.words(&[0]), case.output(width));
        self.run_floats(&case, out, width, |base| {
            let params = NormParams {
                header: base + counts,
                x: base + values,
                weight: base + weight,
                codes: base + codes,
                scales: base + scales,
                weighted: base + weighted,
                row_of: base + row_of,
                failed: base + failed,
                raw: base + out,
                width: width as u32,
                stride: padded as u32,
                scale_stride: padded as u32 / 32,
                eps,
                ..NormParams::default()
            };
            launch(Kernel::RmsNorm, [1, 1, 1], 256, params.bytes())
        })
    }

    fn exp(&self, x: &[f32]) -> Vec<f32> {
        let mut case = Case::default();
        let values = case.floats(x);
        self.run_floats(&case, values, x.len(), |base| {
            let params = VectorParams { x: base + values, count: x.len() as u32, ..VectorParams::default() };
            launch(Kernel::Exponentials, [x.len().div_ceil(256) as u32, 1, 1], 256, params.bytes())
        })
    }

    fn silu_mul(&self, g: &[f32], u: &[f32]) -> Vec<f32> {
        let (width, padded) = (g.len(), g.len().next_multiple_of(256));
        let mut case = Case::default();
        let (gate_up, counts) = (case.floats(&[g, u].concat()), case.words(&header(0, 1)));
        let (codes, scales, weighted) =
            (case.arena.add("codes", padded), case.output(padded / 32), case.output(padded / 32));
        let (row_of, failed, out) = (case.words(&[0]), case.words(&[0]), case.output(width));
        self.run_floats(&case, out, width, |base| {
            let params = ActivateParams {
                header: base + counts,
                gate_up: base + gate_up,
                codes: base + codes,
                scales: base + scales,
                weighted: base + weighted,
                row_of: base + row_of,
                failed: base + failed,
                raw: base + out,
                width: width as u32,
                in_stride: 2 * width as u32,
                stride: padded as u32,
                scale_stride: padded as u32 / 32,
            };
            launch(Kernel::Activate, [(width as u32 / 32).div_ceil(8), 1, 1], 256, params.bytes())
        })
    }

    fn rope(&self, head: &[f32], cos: &[f32], sin: &[f32]) -> Vec<f32> {
        let width = head.len();
        let mut case = Case::default();
        let (qkv, table) = (case.floats(&[head; 3].concat()), case.floats(&[cos, sin].concat()));
        let counts = case.words(&header(0, 1));
        let zeros = [(); 4].map(|()| case.words(&[0]));
        let (queries, query_scales) = (case.arena.add("queries", width), case.output(width / 32));
        let cache = case.arena.add("cache", head_bytes(width, Tier::Deterministic));
        let out = case.output(3 * width);
        self.run_floats(&case, out, width, |base| {
            let params = RotateParams {
                header: base + counts,
                qkv: base + qkv,
                cos_sin: base + table,
                positions: base + zeros[0],
                slots: base + zeros[1],
                row_of: base + zeros[2],
                failed: base + zeros[3],
                queries: base + queries,
                query_scales: base + query_scales,
                raw: base + out,
                cache: base + cache,
                page_bytes: head_bytes(width, Tier::Deterministic) as u64,
                layer_offset: 0,
                heads: 1,
                kv_heads: 1,
                width: width as u32,
                head_bytes: head_bytes(width, Tier::Deterministic) as u32,
            };
            launch(Kernel::Rotate, [1, 1, 1], 128, params.bytes())
        })
    }

    fn attend(&self, input: &AttentionCase<'_>) -> Vec<f32> {
        let (width, count) = (input.width, input.queries.len());
        let all = |x: &[Vec<f32>]| x.iter().map(|x| self.quantize(x)).collect::<Option<Vec<_>>>();
        let queries = input.queries.iter().map(|(query, _)| self.quantize(query)).collect::<Option<Vec<_>>>();
        let (Some(keys), Some(values), Some(queries)) = (all(input.keys), all(input.values), queries) else {
            return Vec::new();
        };
        let pages = keys.len().div_ceil(PAGE);
        let segments = keys.len().div_ceil(64);
        let positions: Vec<u32> = input.queries.iter().map(|(_, last)| *last as u32).collect();
        let mut case = Case::default();
        // Pages in reverse, so that page numbers are not positions.
        let tables: Vec<u32> = (0..pages as u32).rev().collect();
        let cache = case.input(cache(&keys, &values, &tables, width));
        let pages = case.words(&tables);
        let codes = queries.iter().flatten().flat_map(|block| block.values.map(|q| q as u8)).collect();
        let scales: Vec<f32> = queries.iter().flatten().map(|block| block.scale).collect();
        let (queries, query_scales) = (case.input(codes), case.floats(&scales));
        let (positions, zeros) = (case.words(&positions), case.words(&vec![0; count]));
        let splits = case.words(&(0..count as u32).collect::<Vec<_>>());
        let tiles = case.words(&(0..count as u32).flat_map(|token| [token, 1]).collect::<Vec<_>>());
        let mut counts = header(3, count);
        counts[4] = count as u32;
        let (counts, failed) = (case.words(&counts), case.words(&[0]));
        let room = [64, 1, width, 1].map(|each| case.output(count * segments * each));
        let padded = width.next_multiple_of(256);
        let (codes, scales, weighted) = (
            case.arena.add("codes", count * padded),
            case.output(count * padded / 32),
            case.output(count * padded / 32),
        );
        let out = case.output(count * width);
        let params = |base: u64, work: u64| AttendParams {
            header: base + counts,
            work: base + work,
            positions: base + positions,
            table_of: base + zeros,
            pages: base + pages,
            row_of: base + zeros,
            failed: base + failed,
            queries: base + queries,
            query_scales: base + query_scales,
            cache: base + cache,
            page_bytes: head_bytes(width, Tier::Deterministic) as u64,
            layer_offset: 0,
            scores: base + room[0],
            most: base + room[1],
            sums: base + room[2],
            totals: base + room[3],
            codes: base + codes,
            scales: base + scales,
            weighted: base + weighted,
            raw: base + out,
            heads: 1,
            kv_heads: 1,
            width: width as u32,
            head_bytes: head_bytes(width, Tier::Deterministic) as u32,
            stride: padded as u32,
            scale_stride: padded as u32 / 32,
            segments: segments as u32,
            scale: 1.0 / (width as f32).sqrt(),
        };
        let split = self.run_floats(&case, out, count * width, |base| {
            let (params, grid) = (params(base, splits).bytes(), [segments as u32, 1, count as u32]);
            let mut launches = launch(Kernel::AttendScores, grid, 128, params.clone());
            launches.extend(launch(Kernel::AttendValues, grid, 128, params.clone()));
            launches.extend(launch(Kernel::AttendCombine, [1, count as u32, 1], 128, params));
            launches
        });
        let tiled = self.run_floats(&case, out, count * width, |base| {
            launch(Kernel::AttendTile, [count as u32, 1, 1], 128, params(base, tiles).bytes())
        });
        agreed(&[split, tiled])
    }
}

fn linears<'a>(
    matrices: &'a [MatrixParams],
    base: u64,
    x: &Activations,
    out: u64,
    vectors: u32,
    projection: Option<u32>,
) -> Linears<'a> {
    Linears {
        matrices,
        layer: 0,
        projection,
        codes: base + x.codes,
        scales: base + x.scales,
        weighted: base + x.weighted,
        out: base + out,
        out_stride: matrices[0].rows,
        vectors,
        count_word: 0,
    }
}

/// Keys and values as `rotate` stores them.
fn cache(keys: &[Vec<Q8>], values: &[Vec<Q8>], tables: &[u32], width: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; tables.len() * head_bytes(width, Tier::Deterministic)];
    for (position, (key, value)) in keys.iter().zip(values).enumerate() {
        let page = &mut bytes[tables[position / PAGE] as usize * head_bytes(width, Tier::Deterministic)..]
            [..head_bytes(width, Tier::Deterministic)];
        let slot = position % PAGE;
        for (which, blocks) in [key, value].into_iter().enumerate() {
            let slot = which * PAGE + slot;
            for (b, block) in blocks.iter().enumerate() {
                page[slot * width + b * BLOCK..][..BLOCK].copy_from_slice(&block.values.map(|q| q as u8));
                let scale = 2 * PAGE * width + (slot * (width / BLOCK) + b) * 4;
                page[scale..scale + 4].copy_from_slice(&block.scale.to_le_bytes());
            }
        }
    }
    bytes
}

/// Tables of a step with one token and one adapter.
struct Tables {
    bucket: Bucket,
    counts: u64,
    groups: u64,
    entries: u64,
    places: u64,
    row_of: u64,
    failed: u64,
}

impl Tables {
    fn new(case: &mut Case, rank: usize, adapter: u64) -> Self {
        let rank_tiles = (rank.div_ceil(16) as u32).next_power_of_two();
        let bucket = Bucket { tokens: 1, groups: 1, places: 1, rank_tiles, ..Bucket::default() };
        let counts = case.words(&header(2, 1));
        let [entries, row_of, failed] = [(); 3].map(|()| case.words(&[0]));
        let (places, groups) = (case.words(&[0, 1]), case.words(&[0, 0, 0, 1]));
        case.pointers.push((groups, adapter));
        Self { bucket, counts, groups, entries, places, row_of, failed }
    }

    fn adapters(&self, base: u64, u: u64) -> Adapters {
        Adapters {
            header: base + self.counts,
            groups: base + self.groups,
            entries: base + self.entries,
            places: base + self.places,
            row_of: base + self.row_of,
            failed: base + self.failed,
            u: base + u,
            scaled: 0,
        }
    }
}
