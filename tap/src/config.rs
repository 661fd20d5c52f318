//! What a tap is told.

/// What a tap is told.
#[derive(Debug, Clone, Copy)]
pub struct TapConfig {
    /// Most bytes that are copied of a message.
    pub copy_bytes_max: u64,
    /// Size of the buffer between kernel and user space; rounded up to what the kernel takes.
    pub ring_bytes: u32,
    /// How long the hello of a client is waited for, in milliseconds.
    pub hello_age_max_ms: u64,
    /// Whether the kernel is asked to measure how long the programs run. It then measures every eBPF program
    /// of the machine.
    pub measures_probes: bool,
    /// Whether probes are placed at the entries of functions only, also where another place costs less.
    pub entry_only: bool,
}
