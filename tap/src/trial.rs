//! Whether this kernel lets a process attach probes to programs, by trying: versions do not tell, since
//! kernels were mended backwards.

/// What came of attaching one probe to the process itself, where nothing runs into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// It was attached, and detached again.
    Attached,
    /// The kernel does not permit it (`EACCES`, `EPERM`), and what it says.
    Forbidden(String),
    /// It failed otherwise, which no capability mends, and why.
    Failed(String),
}
