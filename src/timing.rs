//! What the parts of a run take: wall and CPU time by name, collected while it runs and shown to who asks for it.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::{AddAssign, Sub};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A part of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Import: reading package files and decompressing them.
    Decompress,
    /// Import: the SHA-256 of package files and objects.
    Hash,
    /// Import: adding objects to the store.
    Write,
    /// Reading the indexes of imported packages.
    Index,
    /// Merging packages into one tree.
    Merge,
    /// Checking trees out.
    CheckOut,
    /// Programs in sandboxes that make the tree.
    Scripts,
    /// Taking what scripts changed.
    Changes,
    /// Writing the tree's objects and refs, and making them durable.
    Commit,
    /// Checking the tree and writing outputs.
    Image,
}

impl Part {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Decompress, "decompress"),
        (Self::Hash, "hash"),
        (Self::Write, "write"),
        (Self::Index, "index"),
        (Self::Merge, "merge"),
        (Self::CheckOut, "checkout"),
        (Self::Scripts, "scripts"),
        (Self::Changes, "changes"),
        (Self::Commit, "commit"),
        (Self::Image, "image"),
    ];
}

/// Wall time and CPU time, user and system together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spent {
    /// Wall time; of what threads do side by side, the sum over the threads.
    pub wall: Duration,
    /// CPU time, that of child processes included.
    pub cpu: Duration,
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { wall: self.wall.saturating_sub(other.wall), cpu: self.cpu.saturating_sub(other.cpu) }
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

thread_local! {
    /// In a thread that is within [`Timings::share`], what parts within took so far.
    static INNER: Cell<Option<Spent>> = const { Cell::new(None) };
}

/// The sums of a run; any number of threads may add to them.
#[derive(Debug, Default)]
pub struct Timings {
    nanoseconds: [[AtomicU64; 2]; Part::ALL.len()],
    /// How many threads are within [`Timings::share`].
    sharing: AtomicUsize,
}

impl Timings {
    /// Times work of one thread and its child processes, and of whatever other threads it has when none is within
    /// [`Self::share`].
    pub fn alone<T>(&self, part: Part, work: impl FnOnce() -> T) -> T {
        let read = if self.sharing.load(Ordering::Relaxed) == 0 { of_process } else { of_thread_and_children };
        let start = read();
        let result = work();
        self.add(part, read() - start);
        result
    }

    /// Times a thread's share of work that several threads do; parts within it do not count towards it.
    pub fn share<T>(&self, part: Part, work: impl FnOnce() -> T) -> T {
        let outer = INNER.replace(Some(Spent::default()));
        if outer.is_none() {
            self.sharing.fetch_add(1, Ordering::Relaxed);
        }
        let start = of_thread();
        let result = work();
        let all = of_thread() - start;
        self.add(part, all - INNER.get().unwrap_or_default());
        if outer.is_none() {
            self.sharing.fetch_sub(1, Ordering::Relaxed);
        }
        INNER.set(outer.map(|mut outer| {
            outer += all;
            outer
        }));
        result
    }

    /// As [`Self::share`], where the thread is within a share already.
    pub fn within<T>(&self, part: Part, work: impl FnOnce() -> T) -> T {
        if INNER.get().is_some() { self.share(part, work) } else { work() }
    }

    /// The parts that took time, by name.
    pub fn told(&self) -> impl Iterator<Item = (&'static str, Spent)> {
        Part::ALL.into_iter().filter_map(|(part, name)| {
            let [wall, cpu] = &self.nanoseconds[part as usize];
            let duration = |sum: &AtomicU64| Duration::from_nanos(sum.load(Ordering::Relaxed));
            let spent = Spent { wall: duration(wall), cpu: duration(cpu) };
            (spent != Spent::default()).then_some((name, spent))
        })
    }

    fn add(&self, part: Part, spent: Spent) {
        let [wall, cpu] = &self.nanoseconds[part as usize];
        let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        wall.fetch_add(nanoseconds(spent.wall), Ordering::Relaxed);
        cpu.fetch_add(nanoseconds(spent.cpu), Ordering::Relaxed);
    }
}

fn of_thread() -> Spent {
    Spent { wall: read(ClockId::Monotonic), cpu: read(ClockId::ThreadCPUTime) }
}

fn of_thread_and_children() -> Spent {
    let Spent { wall, cpu } = of_thread();
    Spent { wall, cpu: cpu + of_children() }
}

fn of_process() -> Spent {
    Spent { wall: read(ClockId::Monotonic), cpu: read(ClockId::ProcessCPUTime) + of_children() }
}

fn read(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    Duration::new(u64::try_from(tv_sec).unwrap_or_default(), u32::try_from(tv_nsec).unwrap_or_default())
}

/// The CPU time of child processes that have ended.
fn of_children() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a `rusage` of this function's, for which all zeros are a value.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |t: libc::timeval| {
        Duration::from_secs(u64::try_from(t.tv_sec).unwrap_or_default())
            + Duration::from_micros(u64::try_from(t.tv_usec).unwrap_or_default())
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall_of(timings: &Timings, wanted: &str) -> Duration {
        timings.told().find(|(name, _)| *name == wanted).map(|(_, spent)| spent.wall).unwrap_or_default()
    }

    #[test]
    fn parts_stand_in_their_order() {
        for (number, (part, _)) in Part::ALL.into_iter().enumerate() {
            assert_eq!(part as usize, number);
        }
    }

    #[test]
    fn a_part_within_another_counts_once() {
        let timings = Timings::default();
        let pause = || std::thread::sleep(Duration::from_millis(20));
        timings.share(Part::Decompress, || timings.within(Part::Hash, || timings.within(Part::Write, pause)));
        assert!(wall_of(&timings, "write") >= Duration::from_millis(20));
        assert!(wall_of(&timings, "hash") + wall_of(&timings, "decompress") < Duration::from_millis(20));
    }

    #[test]
    fn outside_a_share_nothing_within_counts() {
        let timings = Timings::default();
        timings.alone(Part::Commit, || timings.within(Part::Write, || ()));
        assert_eq!(timings.told().map(|(name, _)| name).collect::<Vec<_>>(), ["commit"]);
    }
}
