//! Building upon an image.

use coracle_packager::build::Built;
use coracle_packager::digest::Digest;
use coracle_packager::image::{Image, ImageConfig, MediaType, canonical_json, descriptor};

use crate::world::World;

const BASE: &str = "FROM scratch\nENV PATH=/base HOME=/home\nWORKDIR /srv/app\nCOPY --chown=5 etc /etc\n\
                    COPY --chmod=700 private /private\nLABEL kept=1 replaced=1\nENTRYPOINT [\"/base\"]\nCMD [\"base\"]\n";

fn world() -> (World, Built) {
    let mut world = World::with(&["etc/conf", "private/key", "private/sub/x", "new/sub/y", "a"]);
    let base = world.build(BASE);
    world.add_base("base:latest", base.image.clone());
    (world, base)
}

/// Stores an image with another config, and what else is changed.
fn changed(world: &World, image: &Image, change: impl FnOnce(&mut Image)) -> Image {
    let mut image = image.clone();
    change(&mut image);
    let config = canonical_json(&image.config);
    let (digest, size) = world.store.put_blob(&config).expect("stored");
    let media_type = image.manifest.config().media_type().to_string();
    image
        .manifest
        .set_config(descriptor(&media_type, &digest, size));
    let manifest = canonical_json(&image.manifest);
    let (digest, size) = world.store.put_blob(&manifest).expect("stored");
    let media_type = image.descriptor.media_type().to_string();
    let named = descriptor(&media_type, &digest, size);
    Image::new(named, image.manifest, &config).expect("an image")
}

#[test]
fn config_and_files_are_inherited() {
    let (world, base) = world();
    let built = world.build(
        "FROM base\nENV PATH=$PATH:/x NEW=$HOME\nCOPY a .\nCOPY new /private\nCOPY a /etc/new/\nLABEL replaced=2\n",
    );
    let config = &built.image.config.config;
    let env = config.env.clone().unwrap_or_default();
    assert_eq!(env, ["PATH=/base:/x", "HOME=/home", "NEW=/home"]);
    assert_eq!(config.working_dir.as_deref(), Some("/srv/app"));
    assert_eq!(config.entrypoint, Some(vec!["/base".to_owned()]));
    assert_eq!(config.cmd, Some(vec!["base".to_owned()]));
    assert!(
        config
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .eq(["kept=1", "replaced=2"])
    );
    assert_eq!(
        built.image.config.history.len(),
        base.image.config.history.len() + 5
    );

    let of_base = base.image.manifest.layers();
    assert_eq!(
        &built.image.manifest.layers()[..of_base.len()],
        &of_base[..]
    );
    let layers = world.layers_of(&built);
    let own: Vec<Vec<&String>> = layers[of_base.len()..]
        .iter()
        .map(|layer| layer.keys().collect())
        .collect();
    // Directories that are there are not written again, except those that are copied themselves.
    assert_eq!(
        own,
        [
            vec!["srv/app/a"],
            vec!["private/sub", "private/sub/y"],
            vec!["etc/new", "etc/new/a"],
        ]
    );
}

#[test]
fn an_entrypoint_takes_the_inherited_command_away() {
    let (world, _) = world();
    for (instructions, entrypoint, cmd) in [
        ("ENTRYPOINT [\"/x\"]", Some("/x"), None),
        ("ENTRYPOINT []", None, None),
        ("CMD [\"y\"]", Some("/base"), Some("y")),
        ("CMD [\"y\"]\nENTRYPOINT [\"/x\"]", Some("/x"), Some("y")),
        ("ENTRYPOINT [\"/x\"]\nCMD [\"y\"]", Some("/x"), Some("y")),
    ] {
        let built = world.build(&format!("FROM base\n{instructions}\n"));
        let config = &built.image.config.config;
        let list = |text: Option<&str>| text.map(|text| vec![text.to_owned()]);
        assert_eq!(config.entrypoint, list(entrypoint), "{instructions}");
        assert_eq!(config.cmd, list(cmd), "{instructions}");
    }
}

#[test]
fn the_base_can_be_chosen_by_argument() {
    let (world, base) = world();
    let mut request = world.request("ARG name=nothing\nARG tag=latest\nFROM $name:${tag}\n");
    request.args = vec![("name".to_owned(), "base".to_owned())];
    let built = world.run(&request).expect("builds");
    assert_eq!(built.image.manifest.layers(), base.image.manifest.layers());
}

#[test]
fn a_base_that_cannot_be_had_is_named() {
    let (world, _) = world();
    assert_eq!(
        world.refused("ARG x\nFROM other:1\n"),
        "Dockerfile:2:6: base image other:1: fetching it: there is no such image"
    );
}

#[test]
fn a_base_for_another_platform_is_refused() {
    let (mut world, base) = world();
    let native = changed(&world, &base.image, |image| {
        image.config.os = "linux".to_owned();
        image.config.architecture = "amd64".to_owned();
    });
    world.add_base("native:latest", native);
    assert_eq!(
        world.refused("FROM native\n"),
        "Dockerfile:1:6: base image native:latest: it is for linux/amd64, want wasi/wasm"
    );
    let built = world.build("FROM --platform=linux/x86_64 native\nCMD run it\n");
    assert_eq!(built.image.platform().to_string(), "linux/amd64");
    let command = ["/bin/sh", "-c", "run it"].map(str::to_owned).to_vec();
    assert_eq!(built.image.config.config.cmd, Some(command));
}

#[test]
fn triggers_of_the_base_come_first_and_go() {
    let (mut world, base) = world();
    let trigger = |world: &World, triggers: &[&str]| {
        changed(world, &base.image, |image| {
            let triggers = triggers.iter().map(|t| (*t).to_owned()).collect();
            image.config.config.on_build = Some(triggers);
        })
    };
    let image = trigger(
        &world,
        &[
            "LABEL from=trigger",
            "COPY a /triggered",
            "COPY <<E /t\nx\nE",
        ],
    );
    world.add_base("trigger:latest", image);
    let built = world.build("FROM trigger\nLABEL from=file\nONBUILD USER x\n");
    let config = &built.image.config.config;
    assert_eq!(config.labels.get("from").map(String::as_str), Some("file"));
    assert_eq!(config.on_build, Some(vec!["USER x".to_owned()]));
    let names = world.names(&built);
    assert!(names.contains(&"triggered=a".to_owned()), "{names:?}");
    assert!(names.contains(&"t=x\n".to_owned()), "{names:?}");

    // A trigger is from a stranger: what is wrong with it is said at the FROM that brought it.
    for (trigger_text, want) in [
        (
            "FROM scratch",
            "Dockerfile:1:1: FROM cannot stand behind ONBUILD",
        ),
        (
            "USER a\nUSER b",
            "Dockerfile:1:1: more cannot stand behind ONBUILD",
        ),
        ("COPY", "Dockerfile:1:1: COPY needs at least one source"),
    ] {
        let image = trigger(&world, &[trigger_text]);
        world.add_base("bad:latest", image);
        let message = world.refused("FROM bad\n");
        assert!(message.starts_with(want), "{message}");
    }
}

#[test]
fn dockers_layers_become_ocis() {
    let (mut world, base) = world();
    let docker = changed(&world, &base.image, |image| {
        let mut layers = image.manifest.layers().clone();
        for layer in &mut layers {
            let media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip";
            layer.set_media_type(MediaType::from(media_type));
        }
        image.manifest.set_layers(layers);
        image.config.history.clear();
    });
    world.add_base("docker:latest", docker.clone());
    let built = world.build("FROM docker\nCOPY a /\n");
    for layer in built.image.manifest.layers() {
        assert_eq!(
            layer.media_type().as_ref(),
            "application/vnd.oci.image.layer.v1.tar+gzip"
        );
    }
    // One entry of history for each layer, though the base has none.
    let entries = built
        .image
        .config
        .history
        .iter()
        .filter(|entry| !entry.empty_layer);
    assert_eq!(entries.count(), built.image.manifest.layers().len());

    let foreign = changed(&world, &docker, |image| {
        let mut layers = image.manifest.layers().clone();
        let media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        layers[1].set_media_type(MediaType::from(media_type));
        image.manifest.set_layers(layers);
    });
    world.add_base("foreign:latest", foreign);
    assert_eq!(
        world.refused("FROM foreign\n"),
        "Dockerfile:1:6: base image foreign:latest: its layer 1 may not be pushed elsewhere"
    );
}

#[test]
fn an_artifact_is_no_base() {
    let (mut world, base) = world();
    let artifact = changed(&world, &base.image, |image| {
        let config = image.manifest.config().clone();
        let digest = Digest::of(&config).expect("a digest");
        image.manifest.set_config(descriptor(
            "application/vnd.wasm.config.v0+json",
            &digest,
            config.size(),
        ));
        image.config = ImageConfig::default();
    });
    world.add_base("artifact:latest", artifact);
    let message = world.refused("FROM artifact\n");
    assert!(
        message.starts_with("Dockerfile:1:6: base image artifact:latest: reading its layers: "),
        "{message}"
    );
}

#[test]
fn layers_are_bounded() {
    let (mut world, base) = world();
    let full = changed(&world, &base.image, |image| {
        let layer = image.manifest.layers()[0].clone();
        image.manifest.set_layers(vec![layer; 500]);
        let diff_id = image.config.rootfs.diff_ids[0].clone();
        image.config.rootfs.diff_ids = vec![diff_id; 500];
    });
    world.add_base("full:latest", full);
    world.build("FROM full\nLABEL a=b\nWORKDIR /srv\n");
    assert_eq!(
        world.refused("FROM full\nCOPY a /\n"),
        "Dockerfile:2:1: the image gets more than 500 layers"
    );
}
