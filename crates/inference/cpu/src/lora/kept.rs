//! Prepared adapters kept on disk, so that a load reads one instead of hashing, parsing and quantising its artifact again.
//!
//! ```text
//! file: | magic | key | bytes of the arena | bytes of the table | XXH3-128 of all but itself | zeros to 4096 |
//!       | the arena, as it is in memory | modules: layer, projection, rank, whether scaled, offset | what DoRA scales rows by |
//! key:  SHA-256 of | layout | parser | geometry | weights | artifact | weight in the composition |
//! ```
//! The layout is a hash of what this build makes of modules that it makes up, the parser's that of its sources, so a build that prepares
//! otherwise finds nothing here. Names play no part, so an adapter replaced under its name finds nothing stale. A file that is cut,
//! changed or of something else is no use to anybody and is written anew. The folder is the node's own, and what is written there was
//! made of an artifact whose hash was checked: why a fast check is enough for reading it, docs/decisions/0014 says.

use super::{Change, Prepared, change, place, quantized, shapes};
use crate::{
    CpuError,
    kernels::Kernels,
    memory::Arena,
    packed::{Layout, Packed, Shape},
};
use alloy_primitives::{B256, hex};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};
use tributary_adapters::{Geometry, LoraModule, Projection, parser_hash};
use twox_hash::xxhash3_128;

const MAGIC: &[u8; 8] = b"TRIBLORA";
/// Where the arena begins.
const HEADER: usize = 4096;
/// Where the two lengths stand in the header.
const LENGTHS: usize = 8 + 32;
/// Bytes of a module: four fields and its offset.
const MODULE: usize = 4 * 4 + 8;
/// Bytes of files kept.
const BUDGET: u64 = 8 << 30;

/// A folder of adapters prepared for one model.
#[derive(Debug)]
pub(crate) struct Kept {
    folder: PathBuf,
    geometry: Geometry,
    /// What a prepared adapter depends on besides the adapter.
    model: [u8; 32],
    budget: u64,
    /// Names what is being written.
    writes: AtomicU64,
}

impl Kept {
    pub(crate) fn new(
        folder: &Path,
        kernels: Kernels,
        geometry: Geometry,
        weights: B256,
    ) -> Result<Self, CpuError> {
        let Geometry { layers, hidden, intermediate, query, key } = geometry;
        let mut model = Sha256::new().chain_update(layout(kernels)?).chain_update(parser_hash());
        [layers, hidden, intermediate, query, key].iter().for_each(|size| model.update(size.to_be_bytes()));
        let model = model.chain_update(weights).finalize().into();
        Ok(Self { folder: folder.to_owned(), geometry, model, budget: BUDGET, writes: AtomicU64::new(0) })
    }

    fn key(&self, hash: B256, weight: f32) -> [u8; 32] {
        let weight = weight.to_bits().to_be_bytes();
        Sha256::new().chain_update(self.model).chain_update(hash).chain_update(weight).finalize().into()
    }

    fn path(&self, key: &[u8; 32]) -> PathBuf {
        self.folder.join(format!("{}.adapter", hex::encode(&key[..16])))
    }

    /// What was kept of an artifact, if it is there and whole.
    pub(crate) fn load(&self, hash: B256, weight: f32) -> Option<Prepared> {
        let key = self.key(hash, weight);
        let path = self.path(&key);
        match self.read(&path, &key) {
            Ok(prepared) => Some(prepared),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "Prepared adapter on disk is of no use, preparing it again");
                None
            }
        }
    }

    fn read(&self, path: &Path, key: &[u8; 32]) -> io::Result<Prepared> {
        let mut file = File::open(path)?;
        let mut head = vec![0; HEADER];
        file.read_exact(&mut head)?;
        let length = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| head[LENGTHS + at + byte]));
        let (arena, table) = (length(0), length(8));
        // No memory for what is not there.
        let all = arena.checked_add(table).and_then(|sum| sum.checked_add(HEADER as u64));
        if all != Some(file.metadata()?.len()) {
            return Err(io::Error::other("another length"));
        }
        let mut arena = Arena::new(arena as usize).map_err(io::Error::other)?;
        let mut table = vec![0; table as usize];
        file.read_exact(arena.bytes_mut())?;
        file.read_exact(&mut table)?;
        if head != header(key, arena.bytes_mut(), &table) {
            return Err(io::Error::other("other contents"));
        }
        let prepared =
            self.assemble(arena, &table).ok_or_else(|| io::Error::other("not what the model takes"))?;
        // Where it fails, the file only looks older than it is.
        drop(file.set_modified(SystemTime::now()));
        Ok(prepared)
    }

    fn assemble(&self, arena: Arena, table: &[u8]) -> Option<Prepared> {
        let arena = Arc::new(arena);
        let mut changes = vec![None; self.geometry.layers as usize * Projection::ALL.len()];
        let (count, table) = table.split_first_chunk()?;
        let (modules, gains) = table.split_at_checked(MODULE * u32::from_be_bytes(*count) as usize)?;
        let mut gains = gains.as_chunks().0.iter().map(|bits| f32::from_be_bytes(*bits));
        for module in modules.chunks_exact(MODULE) {
            let (fields, offset) = module.split_last_chunk()?;
            let offset = usize::try_from(u64::from_be_bytes(*offset)).ok()?;
            let [layer, projection, rank, scaled] =
                std::array::from_fn(|at| u32::from_be_bytes(fields.as_chunks().0[at]));
            let projection = *Projection::ALL.get(projection as usize)?;
            if layer >= self.geometry.layers || rank == 0 || arena.len() < offset.max(rank as usize) {
                return None;
            }
            let sizes = self.geometry.shape(projection);
            let gain: Option<Arc<[f32]>> =
                (scaled == 1).then(|| gains.by_ref().take(sizes.1 as usize).collect());
            if gain.as_ref().is_some_and(|gain| gain.len() != sizes.1 as usize) {
                return None;
            }
            let change = Change::at(&arena, offset, shapes(rank, sizes), gain).ok()?;
            changes[place(layer as usize, projection)] = Some(change);
        }
        Some(Prepared { geometry: self.geometry, changes, arena })
    }

    /// Keeps what was prepared of an artifact. A disk that does not take it costs later loads their time, nothing else.
    pub(crate) fn store(&self, hash: B256, weight: f32, prepared: &Prepared) {
        let key = self.key(hash, weight);
        let path = self.path(&key);
        if let Err(error) = self.write(&path, &key, prepared) {
            tracing::warn!(path = %path.display(), %error, "Prepared adapter cannot be kept on disk");
        }
    }

    fn write(&self, path: &Path, key: &[u8; 32], prepared: &Prepared) -> io::Result<()> {
        // SAFETY: nobody writes to the arena of a prepared adapter.
        let arena = unsafe { prepared.arena.bytes() };
        let table = table(prepared);
        let bytes = (HEADER + arena.len() + table.len()) as u64;
        if bytes > self.budget {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        self.make_room(bytes)?;
        let write = self.writes.fetch_add(1, Ordering::Relaxed);
        let beside = path.with_extension(format!("{}-{write}.tmp", std::process::id()));
        // Not synced: what a power cut tears, the check finds.
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(&header(key, arena, &table))?;
            file.write_all(arena)?;
            file.write_all(&table)
        });
        let renamed = written.and_then(|()| fs::rename(&beside, path));
        if renamed.is_err() {
            drop(fs::remove_file(&beside));
        }
        renamed
    }

    /// Removes what was used longest ago, leftovers of interrupted writes among it, until `bytes` more fit.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = fs::read_dir(&self.folder)?
            .flatten()
            .filter_map(|entry| {
                let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                Some((meta.modified().ok()?, meta.len(), entry.path()))
            })
            .collect();
        files.sort_unstable();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, size, path) in files {
            if total + bytes <= self.budget {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => total -= size,
            }
        }
        Ok(())
    }
}

fn header(key: &[u8; 32], arena: &[u8], table: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend(MAGIC);
    header.extend(key);
    header.extend((arena.len() as u64).to_be_bytes());
    header.extend((table.len() as u64).to_be_bytes());
    let mut check = xxhash3_128::Hasher::new();
    [&header, arena, table].into_iter().for_each(|part| check.write(part));
    header.extend(check.finish_128().to_be_bytes());
    header.resize(HEADER, 0);
    header
}

/// What stands beside the arena.
fn table(prepared: &Prepared) -> Vec<u8> {
    let (mut modules, mut gains, mut count) = (Vec::new(), Vec::new(), 0u32);
    let places = (0..prepared.geometry.layers).flat_map(|layer| Projection::ALL.map(|p| (layer, p)));
    for ((layer, projection), change) in places.zip(&prepared.changes) {
        let Some(change) = change else { continue };
        count += 1;
        let fields = [layer, projection as u32, change.rank() as u32, u32::from(change.gain.is_some())];
        modules.extend(fields.iter().flat_map(|field| field.to_be_bytes()));
        modules.extend((change.a.offset() as u64).to_be_bytes());
        gains.extend(change.gain.iter().flat_map(|gain| gain.iter()).flat_map(|gain| gain.to_be_bytes()));
    }
    [&count.to_be_bytes()[..], &modules, &gains].concat()
}

/// What stands for how this build prepares: the hash of what it makes of modules of several ranks, DoRA's factors among it.
fn layout(kernels: Kernels) -> Result<[u8; 32], CpuError> {
    /// Rank, inputs, outputs.
    const SIZES: [(u32, u32, u32); 6] =
        [(1, 64, 32), (4, 96, 48), (8, 576, 33), (8, 1088, 16), (16, 288, 48), (40, 320, 64)];
    let mut hash = Sha256::new();
    for (rank, inputs, outputs) in SIZES {
        let values = |rows: u32, columns: u32, step: usize| -> Vec<f32> {
            (0..rows as usize * columns as usize).map(|at| ((at * step % 61) as f32 - 29.5) / 61.0).collect()
        };
        let base = values(outputs, inputs, 23);
        let shape = Shape::new(Layout::Float, outputs as usize, inputs as usize);
        let base = Packed::alone(shape, |row, b| quantized(&base, inputs as usize, row, b))?;
        let module = LoraModule {
            layer: 0,
            projection: Projection::Q,
            rank,
            inputs,
            outputs,
            scale: 1.5,
            a: values(rank, inputs, 37),
            b: values(outputs, rank, 41),
            magnitude: Some(values(outputs, 1, 43)),
        };
        let (a, b) = shapes(rank, (inputs, outputs));
        let arena = Arc::new(Arena::new(a.bytes() + b.bytes())?);
        let change = change(kernels, &module, 0.75, &base, &arena, 0)
            .map_err(|error| CpuError::Model(error.to_string()))?;
        // SAFETY: the module is prepared, and nobody writes to it any more.
        hash.update(unsafe { arena.bytes() });
        change.gain.iter().flat_map(|gain| gain.iter()).for_each(|gain| hash.update(gain.to_be_bytes()));
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Path as Simd;
    use tributary_engine::PreparedAdapter;

    const GEOMETRY: Geometry = Geometry { layers: 3, hidden: 64, intermediate: 96, query: 64, key: 32 };

    fn kernels() -> Kernels {
        Kernels::new(Simd::best()).unwrap()
    }

    fn kept(folder: &Path, weights: u8) -> Kept {
        Kept::new(folder, kernels(), GEOMETRY, B256::repeat_byte(weights)).unwrap()
    }

    /// Some modules of different ranks, some of them scaled if it is DoRA.
    fn prepared(seed: usize, dora: bool) -> Prepared {
        let value = |at: usize| ((at * 31 + seed * 17) % 127) as f32 / 127.0 - 0.4;
        let values = |len: u32| (0..len as usize).map(value).collect::<Vec<f32>>();
        let places = [
            (0, Projection::Q, 1),
            (0, Projection::Down, 8),
            (2, Projection::K, 16),
            (2, Projection::Up, 33),
        ];
        let size = |(_, projection, rank): &(u32, Projection, u32)| {
            let (a, b) = shapes(*rank, GEOMETRY.shape(*projection));
            a.bytes() + b.bytes()
        };
        let arena = Arc::new(Arena::new(places.iter().map(size).sum()).unwrap());
        let mut changes = vec![None; 21];
        let mut offset = 0;
        for (layer, projection, rank) in places {
            let (inputs, outputs) = GEOMETRY.shape(projection);
            let base = values(outputs * inputs);
            let shape = Shape::new(Layout::Float, outputs as usize, inputs as usize);
            let base = Packed::alone(shape, |row, b| quantized(&base, inputs as usize, row, b)).unwrap();
            let magnitude = (dora && layer == 2).then(|| values(outputs));
            let (a, b) = (values(rank * inputs), values(outputs * rank));
            let module = LoraModule { layer, projection, rank, inputs, outputs, scale: 2.0, a, b, magnitude };
            changes[place(layer as usize, projection)] =
                Some(change(kernels(), &module, 0.5, &base, &arena, offset).unwrap());
            offset += size(&(layer, projection, rank));
        }
        Prepared { geometry: GEOMETRY, changes, arena }
    }

    /// All there is to an adapter.
    fn bits(prepared: &Prepared) -> (Vec<u8>, Vec<u8>, usize, u32, bool) {
        // SAFETY: nobody writes to it.
        let arena = unsafe { prepared.arena.bytes() };
        (arena.to_vec(), table(prepared), prepared.bytes(), prepared.rank(), prepared.composes())
    }

    const HASH: B256 = B256::repeat_byte(7);

    #[test]
    fn what_was_kept_is_the_same_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(&folder.path().join("deep/er"), 1);
        for (seed, dora) in [(1, false), (2, true)] {
            let hash = B256::repeat_byte(seed);
            let fresh = prepared(seed.into(), dora);
            assert!(kept.load(hash, 0.5).is_none());
            kept.store(hash, 0.5, &fresh);
            let loaded = kept.load(hash, 0.5).unwrap();
            assert_eq!(bits(&loaded), bits(&fresh));
            assert_eq!(loaded.composes(), !dora);
            for layer in 0..3 {
                for projection in Projection::ALL {
                    let gain = |of: &Prepared| of.change(layer, projection).map(|change| change.gain.clone());
                    assert_eq!(gain(&loaded), gain(&fresh));
                }
            }
        }
    }

    #[test]
    fn nothing_else_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path(), 1);
        kept.store(HASH, 0.0, &prepared(1, false));
        assert!(kept.load(B256::repeat_byte(8), 0.0).is_none());
        assert!(kept.load(HASH, 1.0).is_none());
        assert!(kept.load(HASH, -0.0).is_none(), "weights differ by their bits");
        let wider = Geometry { hidden: 128, ..GEOMETRY };
        let others = [
            self::kept(folder.path(), 2),
            Kept::new(folder.path(), kernels(), wider, B256::repeat_byte(1)).unwrap(),
            Kept { model: [9; 32], ..self::kept(folder.path(), 1) },
        ];
        for other in others {
            assert!(other.load(HASH, 0.0).is_none());
            // Under its name, but another's.
            fs::copy(kept.path(&kept.key(HASH, 0.0)), other.path(&other.key(HASH, 0.0))).unwrap();
            assert!(other.load(HASH, 0.0).is_none());
        }
        assert!(kept.load(HASH, 0.0).is_some());
    }

    #[test]
    fn what_is_cut_or_changed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path(), 1);
        let fresh = prepared(3, true);
        kept.store(HASH, 1.0, &fresh);
        let path = kept.path(&kept.key(HASH, 1.0));
        let whole = fs::read(&path).unwrap();
        let mut cases = vec![
            Vec::new(),
            whole[..100].to_vec(),
            whole[..whole.len() - 1].to_vec(),
            [&whole[..], &[0]].concat(),
        ];
        for at in
            [0, 9, 40, 44, 52, 60, 80, HEADER - 1, HEADER, HEADER + 3000, whole.len() - 200, whole.len() - 1]
        {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            cases.push(changed);
        }
        // What a torn write leaves: the right length, and zeros.
        cases.push([&whole[..HEADER + 64], &vec![0; whole.len() - HEADER - 64]].concat());
        for case in cases {
            fs::write(&path, &case).unwrap();
            assert!(kept.load(HASH, 1.0).is_none());
            kept.store(HASH, 1.0, &fresh);
            assert_eq!(bits(&kept.load(HASH, 1.0).unwrap()), bits(&fresh));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    /// A file that is whole but says what no adapter of the model can be is refused, whoever wrote it.
    #[test]
    fn tables_that_make_no_sense_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path(), 1);
        let fresh = prepared(4, true);
        let (good, key) = (table(&fresh), kept.key(HASH, 1.0));
        // SAFETY: nobody writes to it.
        let arena = unsafe { fresh.arena.bytes() };
        let write = |table: &[u8]| {
            fs::write(kept.path(&key), [&header(&key, arena, table), arena, table].concat()).unwrap();
            kept.load(HASH, 1.0)
        };
        assert_eq!(bits(&write(&good).unwrap()), bits(&fresh));
        // Count, layer, projection, rank, offset.
        for (at, value) in
            [(0, 9), (0, 255), (4, 9), (7, 3), (11, 7), (15, 0), (12, 255), (20, 255), (27, 1), (24, 16)]
        {
            let mut table = good.clone();
            table[at] = value;
            assert!(write(&table).is_none(), "byte {at} as {value}");
        }
        assert!(write(&good[..good.len() - 4]).is_none());
        assert!(write(&[]).is_none());
    }

    #[test]
    fn what_was_used_longest_ago_goes() {
        let folder = tempfile::tempdir().unwrap();
        let fresh = prepared(5, false);
        let mut kept = kept(folder.path(), 1);
        let hash = |n: u8| B256::repeat_byte(n);
        let aged = |kept: &Kept, n: u8, seconds: u64| {
            let file = File::open(kept.path(&kept.key(hash(n), 1.0))).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        };
        kept.store(hash(0), 1.0, &fresh);
        let one = fs::metadata(kept.path(&kept.key(hash(0), 1.0))).unwrap().len();
        fs::write(folder.path().join("left.tmp"), vec![0; one as usize]).unwrap();
        File::open(folder.path().join("left.tmp")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        kept.budget = one * 3;
        for n in 1..3 {
            kept.store(hash(n), 1.0, &fresh);
        }
        assert!(!folder.path().join("left.tmp").exists());
        (0..3).for_each(|n| aged(&kept, n, 100 + u64::from(n)));
        assert!(kept.load(hash(0), 1.0).is_some());
        kept.store(hash(3), 1.0, &fresh);
        assert!(kept.load(hash(1), 1.0).is_none(), "the one that was not used");
        assert!([0, 2, 3].iter().all(|n| kept.load(hash(*n), 1.0).is_some()));
        kept.budget = one - 1;
        kept.store(hash(4), 1.0, &fresh);
        assert!(kept.load(hash(4), 1.0).is_none());
    }

    #[test]
    fn a_bad_disk_hurts_nobody() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let kept = kept(&folder.path().join("file"), 1);
        kept.store(HASH, 1.0, &prepared(1, false));
        assert!(kept.load(HASH, 1.0).is_none());
    }

    #[test]
    fn the_layout_is_this_builds_own_on_every_path() {
        let all = Simd::ALL.into_iter().filter(|path| path.is_available());
        let layouts: Vec<_> = all.map(|path| layout(Kernels::new(path).unwrap()).unwrap()).collect();
        assert!(layouts.iter().all(|other| *other == layouts[0] && *other != [0; 32]));
    }
}
