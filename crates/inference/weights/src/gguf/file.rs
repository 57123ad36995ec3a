//! An open GGUF file.

use super::{cursor::Cursor, value::Value};
use crate::{Format, WeightsError};
use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const MAX_ENTRIES: u64 = 1 << 16;
const MAX_ALIGNMENT: u64 = 1 << 16;

/// A tensor's place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Block format.
    pub format: Format,
    /// Rows: the slower dimension, 1 for a vector.
    pub rows: usize,
    /// Columns: the dimension that blocks run along.
    pub columns: usize,
    offset: u64,
    bytes: u64,
}

/// A validated header and the file it belongs to.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    file: File,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorInfo>,
}

impl GgufFile {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = File::open(path).map_err(WeightsError::io(path))?;
        let length = file.metadata().map_err(WeightsError::io(path))?.len();
        let reader = BufReader::with_capacity(1 << 16, &file);
        let (metadata, tensors) = header(Cursor::new(reader, length), length)
            .map_err(|reason| WeightsError::Malformed { path: path.into(), reason })?;
        Ok(Self { path: path.into(), file, metadata, tensors })
    }

    /// A metadata value.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// Names and shapes of the tensors, by name.
    pub const fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// Reads a tensor's bytes.
    pub fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>, WeightsError> {
        let mut bytes = vec![0; tensor.bytes as usize];
        self.file.read_exact_at(&mut bytes, tensor.offset).map_err(WeightsError::io(&self.path))?;
        Ok(bytes)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

type Header = (BTreeMap<String, Value>, BTreeMap<String, TensorInfo>);

fn header<R: std::io::Read>(mut cursor: Cursor<R>, length: u64) -> Result<Header, String> {
    if &cursor.array::<4>()? != b"GGUF" {
        return Err("no GGUF magic".into());
    }
    let version = cursor.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("GGUF version {version}; 2 and 3 are known"));
    }
    let tensor_count = cursor.u64()?;
    let value_count = cursor.u64()?;
    if tensor_count > MAX_ENTRIES || value_count > MAX_ENTRIES {
        return Err(format!("{tensor_count} tensors and {value_count} metadata entries"));
    }
    let mut metadata = BTreeMap::new();
    for _ in 0..value_count {
        let key = cursor.string()?;
        let value = cursor.value().map_err(|reason| format!("metadata {key:?}: {reason}"))?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("metadata {key:?} twice"));
        }
    }
    let mut tensors = BTreeMap::new();
    for _ in 0..tensor_count {
        let name = cursor.string()?;
        let tensor = tensor(&mut cursor).map_err(|reason| format!("tensor {name:?}: {reason}"))?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(format!("tensor {name:?} twice"));
        }
    }
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(value) => {
            value.as_u64().filter(|a| a.is_power_of_two() && *a <= MAX_ALIGNMENT).ok_or("bad alignment")?
        }
    };
    place(&mut tensors, cursor.position().next_multiple_of(alignment), alignment, length)?;
    Ok((metadata, tensors))
}

fn tensor<R: std::io::Read>(cursor: &mut Cursor<R>) -> Result<TensorInfo, String> {
    let dimensions = cursor.u32()?;
    if !(1..=4).contains(&dimensions) {
        return Err(format!("{dimensions} dimensions"));
    }
    let columns = cursor.u64()?;
    let mut rows = 1u64;
    for _ in 1..dimensions {
        rows = rows.checked_mul(cursor.u64()?).ok_or("shape overflows")?;
    }
    let code = cursor.u32()?;
    let format = Format::from_ggml(code).ok_or_else(|| format!("block format {code} is not supported"))?;
    let offset = cursor.u64()?;
    let bytes = format.bytes(rows, columns).ok_or_else(|| format!("shape {rows} × {columns} in {format}"))?;
    let size = |value: u64| usize::try_from(value).map_err(|_| "shape overflows".to_owned());
    Ok(TensorInfo { format, rows: size(rows)?, columns: size(columns)?, offset, bytes })
}

/// Turns offsets into the data section into offsets into the file, and checks that they lie in it.
fn place(
    tensors: &mut BTreeMap<String, TensorInfo>,
    start: u64,
    alignment: u64,
    length: u64,
) -> Result<(), String> {
    for (name, tensor) in tensors {
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(format!("tensor {name:?} is not aligned"));
        }
        let end = start.checked_add(tensor.offset).and_then(|at| at.checked_add(tensor.bytes));
        if end.is_none_or(|end| end > length) {
            return Err(format!("tensor {name:?} lies past the end: truncated?"));
        }
        tensor.offset += start;
    }
    Ok(())
}
