use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network of its own: a host.
#[derive(Clone, Debug)]
pub(crate) struct Namespace(Arc<File>);

impl Namespace {
    /// Makes an empty one. It lives as long as something refers to it.
    pub(super) fn new() -> io::Result<Self> {
        // A process that is inside holds it until we do; at the latest it ends
        // with us, since its input does.
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "echo && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        let is_inside = match holder.stdout.take() {
            Some(stdout) => BufReader::new(stdout).read_line(&mut line)? > 0,
            None => false,
        };
        let file = File::open(format!("/proc/{}/ns/net", holder.id()));
        let _ = holder.kill();
        holder.wait()?;
        if !is_inside {
            return Err(io::Error::other("unshare makes none"));
        }
        Ok(Namespace(Arc::new(file?)))
    }

    /// What `ip` calls it.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Makes a call on a thread inside.
    pub(crate) fn call<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread inside, for good.
    pub(super) fn enter(&self) {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("invariant: whoever made a namespace may enter it");
    }
}
