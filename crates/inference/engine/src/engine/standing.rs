//! Where each engine thread stands, and what that makes of the whole.

use super::handle::Status;
use parking_lot::Mutex;
use tokio::sync::watch;

/// What a request may expect of an engine that has not ended, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outlook {
    /// It begins as soon as there is room.
    Serves,
    /// It serves, but its step takes too long.
    Slow,
    /// It begins once its backend is there again.
    Restarts,
    /// It takes nothing new, and answers what it is given by another engine.
    Later,
}

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

    /// What to expect of one; None if it will never answer what is given to it.
    pub(super) fn outlook(&self, number: usize) -> Option<Outlook> {
        match self.each.lock()[number] {
            Status::Ready | Status::Degraded(_) => Some(Outlook::Serves),
            Status::Restarting(_) => Some(Outlook::Restarts),
            Status::Loading | Status::Draining => Some(Outlook::Later),
            Status::Stopped | Status::Failed(_) => None,
        }
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
        assert_eq!(
            [0, 1].map(|number| standing.outlook(number)),
            [Some(Outlook::Serves), Some(Outlook::Later)]
        );
        standing.set(1, Status::Failed("lost".into()));
        assert!(seen.has_changed().unwrap() && standing.outlook(1).is_none());
        seen.mark_unchanged();
        standing.set(1, Status::Failed("lost".into()));
        assert!(!seen.has_changed().unwrap());
    }
}
