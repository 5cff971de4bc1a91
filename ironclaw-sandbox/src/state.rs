//! What one call has on the host's side: its context, its log and its memory limiter.

use std::sync::OnceLock;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::grants::Grants;
use crate::limits::SandboxLimits;
use crate::log::{Log, Stream};
use crate::memory::MemoryLimiter;

/// The most handles (streams, pollables, files) of a call.
const HANDLES: usize = 1_024;
/// The most randomness of one request, in bytes.
const RANDOM_BYTES: u64 = 1 << 20;

/// What one call has on the host's side. Made for the call and dropped with it.
pub(crate) struct CallState {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) log: Log,
    pub(crate) memory: MemoryLimiter,
}

impl CallState {
    /// A context that holds what was granted and nothing else.
    pub(crate) fn new(grants: &Grants, limits: &SandboxLimits) -> wasmtime::Result<Self> {
        let log = Log::new(limits);
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(log.stream(Stream::Output))
            .stderr(log.stream(Stream::Error))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .socket_addr_check(|_, _| Box::pin(async { false }))
            .max_random_size(RANDOM_BYTES);
        if !grants.has_clock() {
            wasi.wall_clock(StoppedClock).monotonic_clock(StoppedClock);
        }
        if !grants.has_random() {
            wasi.secure_random(known_numbers()).insecure_random(known_numbers()).insecure_random_seed(0);
        }
        grants.apply(&mut wasi)?;
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Ok(Self { wasi: wasi.build(), table, log, memory: MemoryLimiter::new(limits.memory_bytes) })
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The clock of a tool that was given none. 1970 is plainly no time of today.
struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

/// The randomness of a tool that was given none: numbers that are well spread and always the same.
fn known_numbers() -> Deterministic {
    static NUMBERS: OnceLock<Vec<u8>> = OnceLock::new();
    let numbers = NUMBERS.get_or_init(|| (0u8..32).flat_map(|n| Sha256::digest([n])).collect());
    Deterministic::new(numbers.clone())
}
