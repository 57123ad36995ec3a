//! File descriptors: every connection and every file of the database takes one, and systems give few unless asked.

use tracing::{info, warn};

/// Raises the soft limit to the hard one.
pub(super) fn raise_limit() {
    match raised() {
        Ok((soft, limit)) if soft < limit => {
            info!(target: "tributary", from = soft, to = limit, "Raised the limit of file descriptors");
        }
        Ok((_, limit)) => info!(target: "tributary", limit, "Limit of file descriptors"),
        Err(error) => warn!(target: "tributary", %error, "The limit of file descriptors cannot be raised"),
    }
}

/// The soft limit before and after.
fn raised() -> std::io::Result<(u64, u64)> {
    let (soft, _) = rlimit::Resource::NOFILE.get()?;
    Ok((soft, rlimit::increase_nofile_limit(u64::MAX)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlimit::Resource;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let (_, hard) = Resource::NOFILE.get().unwrap();
        let low = hard.min(512);
        Resource::NOFILE.set(low, hard).unwrap();
        assert_eq!(raised().unwrap(), (low, hard));
        assert_eq!(Resource::NOFILE.get().unwrap(), (hard, hard));
    }
}
