//! Files that someone else may have chosen: a device, a pipe or a file without end is read no further than its bound.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// All bytes of a file, which has `limit` at most.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// [`read_bounded`] for text.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read_bounded(path, limit)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_not_read_to_the_end() {
        let error = read_bounded(Path::new("/dev/zero"), 1000).unwrap_err();
        assert_eq!(error.to_string(), "larger than 1000 bytes");
        assert_eq!(read_text(Path::new("/dev/null"), 0).unwrap(), "");
    }
}
