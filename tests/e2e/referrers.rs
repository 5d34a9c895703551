//! What is attached to images: with a registry that keeps no such list, as Debian's, so the list is ours.

use std::fs;

use crate::registry::Registry;
use crate::sign::pushed;
use crate::world::World;

#[test]
fn files_are_attached_listed_and_fetched() {
    let registry = Registry::open();
    let world = World::new();
    let name = registry.image("team/app:1");
    pushed(&world, &name);
    assert_eq!(
        world.ok(&["referrers", "ls", "--format", "json", &name]),
        ""
    );

    world.write("sbom.json", "{\"packages\":[]}");
    world.write("notes", "first");
    let attach = |kind: &str, files: &[&str]| {
        let arguments = [
            "referrers",
            "attach",
            "--artifact-type",
            kind,
            "--annotation",
            "by=me",
            &name,
        ];
        world
            .ok(&[&arguments[..], files].concat())
            .trim_end()
            .to_owned()
    };
    let sbom = attach(
        "application/spdx+json",
        &["sbom.json:application/json", "notes"],
    );
    let other = attach("text/plain", &["notes"]);
    assert_eq!(
        attach("text/plain", &["notes"]),
        other,
        "the same thing is attached once"
    );

    let listed = world.ok(&["referrers", "ls", &name]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(
        lines[1].starts_with(&sbom) && lines[1].contains("application/spdx+json"),
        "{listed}"
    );
    assert!(lines[2].starts_with(&other), "{listed}");
    let only = world.json(&[
        "referrers",
        "ls",
        "--artifact-type",
        "text/plain",
        "--format",
        "json",
        &name,
    ]);
    assert_eq!(only["digest"], other);
    assert_eq!(only["annotations"]["by"], "me");

    // The list is where the specification says, for other clients to find.
    let digest = world.json(&["inspect", &name])[0]["RepoDigests"][0].to_string();
    let (_, hex) = digest.trim_matches('"').rsplit_once(':').expect("a digest");
    let tag = format!(
        "http://{}/v2/team/app/manifests/sha256-{hex}",
        registry.host()
    );
    let accept = "Accept: application/vnd.oci.image.index.v1+json";
    let list = world.tool_ok("curl", &["-sSf", "-H", accept, &tag]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(
        list["manifests"][0]["artifactType"],
        "application/spdx+json"
    );

    fs::create_dir(world.path("out")).expect("a folder");
    let attached = format!("{}@{sbom}", registry.image("team/app"));
    let pull = ["referrers", "pull", "-o", "out", &attached];
    assert_eq!(world.ok(&pull), "out/sbom.json\nout/notes\n");
    let fetched = fs::read(world.path("out/sbom.json")).expect("the file");
    assert_eq!(fetched, b"{\"packages\":[]}");
    // What is there is not overwritten.
    let message = world.refused(&pull);
    assert!(message.contains("exists"), "{message}");
    let message = world.refused(&["referrers", "pull", &name]);
    assert!(message.contains("has no digest"), "{message}");
}
