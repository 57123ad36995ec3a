//! Where each engine thread stands, and what that makes of the whole.

use super::handle::Status;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The states of all, by number.
#[derive(Debug)]
pub(super) struct Standing {
    each: Mutex<Vec<Status>>,
    whole: watch::Sender<Status>,
}

impl Standing {
    pub(super) fn new(count: usize) -> Self {
        Self { each: Mutex::new(vec![Status::Loading; count]), whole: watch::Sender::new(Status::Loading) }
    }

    pub(super) fn set(&self, number: usize, status: Status) {
        let mut each = self.each.lock();
        if each[number] == status {
            return;
        }
        each[number] = status;
        let status = whole(&each);
        // Under the lock, so that what is seen last is what was set last.
        self.whole.send_if_modified(|current| {
            let changed = *current != status;
            *current = status;
            changed
        });
    }

    pub(super) fn of(&self, number: usize) -> Status {
        self.each.lock()[number].clone()
    }

    pub(super) fn count(&self) -> usize {
        self.each.lock().len()
    }

    /// Whether it takes new requests, if only to answer them once its backend is there again.
    pub(super) fn serves(&self, number: usize) -> bool {
        matches!(self.each.lock()[number], Status::Ready | Status::Degraded(_) | Status::Restarting(_))
    }

    /// Whether it will ever answer what is given to it.
    pub(super) fn lives(&self, number: usize) -> bool {
        !matches!(self.each.lock()[number], Status::Stopped | Status::Failed(_))
    }

    pub(super) fn whole(&self) -> Status {
        self.whole.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Status> {
        self.whole.subscribe()
    }
}

/// As long as one serves, so does the whole; what is wrong with the others is said.
fn whole(each: &[Status]) -> Status {
    if let [one] = each {
        return one.clone();
    }
    let has = |status: &Status| each.contains(status);
    if has(&Status::Loading) {
        return Status::Loading;
    }
    if has(&Status::Draining) {
        return Status::Draining;
    }
    let trouble = |(number, status): (usize, &Status)| match status {
        Status::Degraded(reason) | Status::Restarting(reason) | Status::Failed(reason) => {
            Some(format!("engine {number} of {}: {reason}", each.len()))
        }
        _ => None,
    };
    let trouble: Vec<String> = each.iter().enumerate().filter_map(trouble).collect();
    let trouble = trouble.join("; ");
    let any = |of: fn(&Status) -> bool| each.iter().any(of);
    if any(|status| matches!(status, Status::Ready | Status::Degraded(_))) {
        return if trouble.is_empty() { Status::Ready } else { Status::Degraded(trouble) };
    }
    if any(|status| matches!(status, Status::Restarting(_))) {
        return Status::Restarting(trouble);
    }
    if has(&Status::Stopped) { Status::Stopped } else { Status::Failed(trouble) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_serves_is_enough_and_the_others_are_named() {
        let failed = || Status::Failed("lost".into());
        let named = |text: &str| text.to_owned();
        let cases = [
            (vec![Status::Ready, Status::Loading], Status::Loading),
            (vec![Status::Ready, Status::Ready], Status::Ready),
            (vec![Status::Ready, failed()], Status::Degraded(named("engine 1 of 2: lost"))),
            (
                vec![Status::Restarting("broke".into()), failed()],
                Status::Restarting(named("engine 0 of 2: broke; engine 1 of 2: lost")),
            ),
            (vec![failed(), failed()], Status::Failed(named("engine 0 of 2: lost; engine 1 of 2: lost"))),
            (vec![Status::Draining, Status::Stopped], Status::Draining),
            (vec![failed(), Status::Stopped], Status::Stopped),
            (vec![failed()], failed()),
        ];
        for (each, expected) in cases {
            assert_eq!(whole(&each), expected, "{each:?}");
        }
    }

    #[test]
    fn what_is_set_is_seen_once() {
        let standing = Standing::new(2);
        let mut seen = standing.watch();
        standing.set(0, Status::Ready);
        assert_eq!((standing.whole(), seen.has_changed().unwrap()), (Status::Loading, false));
        assert!(standing.serves(0) && !standing.serves(1) && standing.lives(1));
        standing.set(1, Status::Failed("lost".into()));
        assert!(seen.has_changed().unwrap() && !standing.lives(1));
        seen.mark_unchanged();
        standing.set(1, Status::Failed("lost".into()));
        assert!(!seen.has_changed().unwrap());
    }
}
