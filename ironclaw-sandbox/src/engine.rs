//! The one engine of a sandbox: which WebAssembly it accepts, how it counts, and what its pool holds.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::limits::SandboxLimits;

/// A component of one tool is a program and its adapters: these are the parts that it may have.
const INSTANCES: u32 = 16;
const MEMORIES: u32 = 2;
const TABLES: u32 = 8;
/// Enough for a program whose tables hold every function of a large language runtime.
const TABLE_ELEMENTS: usize = 100_000;
/// What host calls may use of a call's stack, beside the WebAssembly frames.
const HOST_STACK_BYTES: usize = 1 << 20;
/// What stays mapped of a memory between two calls, where the kernel can tell which pages were written (Linux 6.7):
/// a small tool then starts without a page fault. Where it can't, wiping all of it would take longer than the faults.
const KEEP_RESIDENT: usize = 1 << 20;

/// Starts the engine. Reserves address space (not memory) for all calls that may run.
pub(crate) fn start(limits: &SandboxLimits) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_memory64(false)
        .relaxed_simd_deterministic(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        .async_stack_size(limits.stack_bytes + HOST_STACK_BYTES)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    Engine::new(&config)
}

fn pool(limits: &SandboxLimits) -> PoolingAllocationConfig {
    let calls = u32::try_from(limits.running_calls).unwrap_or(u32::MAX);
    let resident = if PoolingAllocationConfig::is_pagemap_scan_available() { KEEP_RESIDENT } else { 0 };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_stacks(calls)
        .total_core_instances(calls.saturating_mul(INSTANCES))
        .total_memories(calls.saturating_mul(MEMORIES))
        .total_tables(calls.saturating_mul(TABLES))
        .max_core_instances_per_component(INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(limits.memory_bytes)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(resident)
        .pagemap_scan(Enabled::Auto);
    pool
}
