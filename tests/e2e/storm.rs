//! A few seconds of the storm that `tests/storm.sh` lets loose for minutes.

use crate::world::World;

#[test]
fn a_storm_leaves_nothing_behind() {
    let world = World::new();
    world.build(
        "storm",
        "FROM scratch\nCOPY *.wasm /\nENTRYPOINT [\"/sleep.wasm\"]\n",
        &["sleep", "exit7"],
        &[],
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/storm.py");
    let coracle = env!("CARGO_BIN_EXE_coracle");
    world.tool_ok("python3", &[script, coracle, "storm", "3", "6"]);
}
