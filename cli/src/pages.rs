//! In pages of which size this process's memory comes.
//!
//! The allocator asks the system for large pages (2 MiB), which make the state of millions of accounts faster. A process
//! that needs little would hold several times what it uses: every kind of object takes a few KiB of a large page.

use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};

/// How it was before small pages were asked for.
pub struct Pages {
    /// Whoever started this process wants small ones, or the system does not let itself be asked.
    are_small: bool,
}

impl Pages {
    /// Small pages from here on.
    pub fn small() -> Self {
        let are_small = transparent_huge_pages_are_disabled().unwrap_or(true);
        if !are_small {
            // Where this fails, memory comes as it does by default.
            let _ = disable_transparent_huge_pages(true);
        }
        Self { are_small }
    }

    /// Pages as before, for what is touched from here on.
    pub fn restore(self) {
        if !self.are_small {
            let _ = disable_transparent_huge_pages(false);
        }
    }
}
