//! WASI 0.2 for components: files are ours, everything else is wasmtime-wasi's.
//!
//! The file system implements wasmtime-wasi's own generated traits. Their resource types are fixed, but a resource is
//! only a number: ours are kept in the same table, which checks the real type at each use.

mod descriptor;
mod error;
mod filesystem;
mod http;
mod sockets;
mod stream;

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{Component, HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem as files, random, sockets as wasi};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http as web;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView as _};
use wasmtime_wasi_io::bindings::wasi::io;

use super::preopen::Start;
use crate::sandbox::wasm::interrupt::Interrupt;
use crate::sandbox::wasm::limits::{Limiter, host_buffer, resources};
use crate::sandbox::wasm::net::Network;
use crate::sandbox::wasm::stdio::{Input, Output};
use crate::spec::ContainerSpec;
use sockets::{HasSockets, Sockets};

/// All that the host keeps for one guest.
pub(in super::super) struct Guest {
    ctx: WasiCtx,
    table: ResourceTable,
    preopens: Vec<(&'static str, Start)>,
    open_files: OpenFiles,
    http: http::Http,
    network: Arc<Network>,
    pub(in super::super) limiter: Limiter,
}

/// How many files and directories are open, and may be.
struct OpenFiles {
    now: u32,
    most: u32,
    /// What the listings that are being read take, in bytes.
    listed: usize,
}

/// Standard streams. Cheap to clone: to find out what they are takes a system call for each.
#[derive(Clone)]
pub(in super::super) struct Streams {
    stdin: Input,
    stdout: Output,
    stderr: Output,
}

impl Streams {
    pub(in super::super) fn new(spec: &ContainerSpec, interrupt: Option<&Interrupt>) -> Self {
        Self {
            stdin: Input::new(&spec.stdin),
            stdout: Output::stdout(&spec.stdout, interrupt.cloned()),
            stderr: Output::stderr(&spec.stderr, interrupt.cloned()),
        }
    }
}

impl Guest {
    /// Collects what the guest gets. Everything that must be opened or seeded is, so that nothing needs the host's files later.
    pub(in super::super) fn new(
        spec: &ContainerSpec,
        preopens: Vec<(&'static str, Start)>,
        streams: Streams,
        network: Arc<Network>,
    ) -> Self {
        let ctx = WasiCtx::builder()
            .args(&spec.args)
            .envs(&spec.env)
            .initial_cwd(&spec.cwd)
            .stdin(streams.stdin)
            .stdout(streams.stdout)
            .stderr(streams.stderr)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(host_buffer(&spec.limits) as u64)
            .build();
        let mut table = ResourceTable::new();
        let most = spec.limits.open_files;
        table.set_max_capacity(
            usize::try_from(most)
                .unwrap_or(usize::MAX)
                .saturating_add(resources(&spec.limits)),
        );
        // Standard streams count, as they do for a module.
        let open_files = OpenFiles {
            now: 3,
            most,
            listed: 0,
        };
        Self {
            ctx,
            table,
            preopens,
            open_files,
            http: http::Http::new(Arc::clone(&network)),
            network,
            limiter: Limiter::new(spec.limits.memory),
        }
    }

    fn files(&mut self) -> Files<'_> {
        Files {
            table: &mut self.table,
            preopens: &self.preopens,
            open: &mut self.open_files,
        }
    }
}

impl Guest {
    fn network(&mut self) -> Sockets<'_> {
        Sockets {
            table: &mut self.table,
            network: &self.network,
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }
}

/// What the file system's functions work on.
pub(super) struct Files<'a> {
    table: &'a mut ResourceTable,
    preopens: &'a [(&'static str, Start)],
    open: &'a mut OpenFiles,
}

struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = Files<'a>;
}

struct HasIo;

impl HasData for HasIo {
    type Data<'a> = &'a mut ResourceTable;
}

/// Defines what the component imports, and nothing else. Returns the names that nobody here has.
///
/// # Errors
/// None that a component could cause: what doesn't fit is found by the instantiation.
pub(in super::super) fn link(
    linker: &mut Linker<Guest>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<Vec<String>> {
    // One interface may be imported in several versions, which are one here.
    linker.allow_shadowing(true);
    let mut missing = Vec::new();
    for (name, _) in component.component_type().imports(engine) {
        if !define_import(linker, name)? {
            missing.push(name.to_owned());
        }
    }
    Ok(missing)
}

/// Does the host have what is imported under this name?
pub(in super::super) fn has(engine: &Engine, import: &str) -> bool {
    define_import(&mut Linker::new(engine), import).unwrap_or_default()
}

fn define_import(linker: &mut Linker<Guest>, import: &str) -> wasmtime::Result<bool> {
    match import.split_once('@') {
        Some((interface, version)) if version.starts_with("0.2.") => define(linker, interface),
        _ => Ok(false),
    }
}

/// Defines an interface of WASI 0.2. `false` if there is none of this name.
fn define(l: &mut Linker<Guest>, interface: &str) -> wasmtime::Result<bool> {
    type G = Guest;
    match interface {
        "wasi:io/error" => io::error::add_to_linker::<G, HasIo>(l, |guest| &mut guest.table)?,
        "wasi:io/poll" => io::poll::add_to_linker::<G, HasIo>(l, |guest| &mut guest.table)?,
        "wasi:io/streams" => io::streams::add_to_linker::<G, HasIo>(l, |guest| &mut guest.table)?,
        "wasi:clocks/wall-clock" => {
            clocks::wall_clock::add_to_linker::<G, WasiClocks>(l, G::clocks)?
        }
        "wasi:clocks/monotonic-clock" => {
            clocks::monotonic_clock::add_to_linker::<G, WasiClocks>(l, G::clocks)?
        }
        "wasi:random/random" => random::random::add_to_linker::<G, WasiRandom>(l, G::random)?,
        "wasi:random/insecure" => random::insecure::add_to_linker::<G, WasiRandom>(l, G::random)?,
        "wasi:random/insecure-seed" => {
            random::insecure_seed::add_to_linker::<G, WasiRandom>(l, G::random)?
        }
        "wasi:cli/environment" => cli::environment::add_to_linker::<G, WasiCli>(l, G::cli)?,
        "wasi:cli/exit" => cli::exit::add_to_linker::<G, WasiCli>(l, G::cli)?,
        "wasi:cli/stdin" => cli::stdin::add_to_linker::<G, WasiCli>(l, G::cli)?,
        "wasi:cli/stdout" => cli::stdout::add_to_linker::<G, WasiCli>(l, G::cli)?,
        "wasi:cli/stderr" => cli::stderr::add_to_linker::<G, WasiCli>(l, G::cli)?,
        "wasi:cli/terminal-input" => cli::terminal_input::add_to_linker::<G, WasiCli>(l, G::cli)?,
        "wasi:cli/terminal-output" => cli::terminal_output::add_to_linker::<G, WasiCli>(l, G::cli)?,
        "wasi:cli/terminal-stdin" => cli::terminal_stdin::add_to_linker::<G, WasiCli>(l, G::cli)?,
        "wasi:cli/terminal-stdout" => cli::terminal_stdout::add_to_linker::<G, WasiCli>(l, G::cli)?,
        "wasi:cli/terminal-stderr" => cli::terminal_stderr::add_to_linker::<G, WasiCli>(l, G::cli)?,
        "wasi:filesystem/types" => files::types::add_to_linker::<G, HasFiles>(l, G::files)?,
        "wasi:filesystem/preopens" => files::preopens::add_to_linker::<G, HasFiles>(l, G::files)?,
        "wasi:sockets/network" => {
            let options = wasi::network::LinkOptions::default();
            wasi::network::add_to_linker::<G, HasSockets>(l, &options, G::network)?;
        }
        "wasi:sockets/instance-network" => {
            wasi::instance_network::add_to_linker::<G, WasiSockets>(l, G::sockets)?;
        }
        "wasi:sockets/tcp" => wasi::tcp::add_to_linker::<G, HasSockets>(l, G::network)?,
        "wasi:sockets/tcp-create-socket" => {
            wasi::tcp_create_socket::add_to_linker::<G, HasSockets>(l, G::network)?;
        }
        "wasi:sockets/udp" => wasi::udp::add_to_linker::<G, HasSockets>(l, G::network)?,
        "wasi:sockets/udp-create-socket" => {
            wasi::udp_create_socket::add_to_linker::<G, HasSockets>(l, G::network)?;
        }
        "wasi:sockets/ip-name-lookup" => {
            wasi::ip_name_lookup::add_to_linker::<G, HasSockets>(l, G::network)?
        }
        "wasi:http/types" => {
            let options = web::types::LinkOptions::default();
            web::types::add_to_linker::<G, WasiHttp>(l, &options, G::http)?;
        }
        "wasi:http/outgoing-handler" => {
            web::outgoing_handler::add_to_linker::<G, WasiHttp>(l, G::http)?
        }
        _ => return Ok(false),
    }
    Ok(true)
}
