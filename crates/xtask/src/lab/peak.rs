//! The most memory a process ever had.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

/// What a command cost.
pub(crate) struct Cost {
    pub(crate) time: Duration,
    /// The peak of its resident memory, mapped files included.
    pub(crate) bytes: u64,
}

impl Cost {
    /// Anything is better.
    pub(crate) const WORST: Self = Self {
        time: Duration::MAX,
        bytes: 0,
    };

    /// The shorter time, and the most memory.
    pub(crate) fn better(self, other: Self) -> Self {
        Self {
            time: self.time.min(other.time),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

/// Runs a command to its end, asking the kernel for its high-water mark on the way: that never falls, so that only
/// what is allocated in the last few milliseconds could be missed.
pub(crate) fn measure(command: &mut Command) -> Result<Cost> {
    crate::shell::say(command);
    let started = Instant::now();
    let mut child = command.spawn()?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut bytes = 0;
    let status = loop {
        if let Some(mark) = fs::read_to_string(&status_file)
            .ok()
            .as_deref()
            .and_then(high_water_mark)
        {
            bytes = mark;
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(Duration::from_millis(5));
    };
    ensure!(status.success(), "failed ({status})");
    ensure!(
        bytes > 0,
        "the kernel does not tell how much memory a process uses"
    );
    Ok(Cost {
        time: started.elapsed(),
        bytes,
    })
}

fn high_water_mark(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Free space of the file system a folder is on.
pub(crate) fn free_space(folder: &std::path::Path) -> Result<u64> {
    let output = Command::new("df")
        .args(["--output=avail", "--block-size=1"])
        .arg(folder)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok())
        .context("df does not tell how much space is free")
}
