//! The generated code under `src/schema/gen` is what the .proto files say. `make generate` writes it.

use std::fs;
use std::path::{Path, PathBuf};

/// Sub-messages that most events leave empty, kept out of line so that an event stays small.
const BOXED: [&str; 3] = [
    ".collector.v1.Event.session_traffic_source_last_click",
    ".collector.v1.Event.device",
    ".collector.v1.Event.collector",
];

fn compile() -> (Vec<u8>, Vec<u8>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([root.join("proto")]).expect("proto folder");
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_file("collector/v1/event.proto")
        .expect("event.proto compiles");
    let descriptor = compiler.encode_file_descriptor_set();

    let out = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary folder");
    let mut config = prost_build::Config::new();
    config.out_dir(out.path());
    for path in BOXED {
        config.boxed(path);
    }
    let mut files = compiler.file_descriptor_set();
    files
        .file
        .retain(|file| file.package() == "collector.v1" && file.name().ends_with("event.proto"));
    config.compile_fds(files).expect("code is generated");
    let code = fs::read(out.path().join("collector.v1.rs")).expect("generated file");
    (descriptor, code)
}

#[test]
fn generated_code_is_what_the_proto_files_say() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema/gen");
    let (descriptor, code) = compile();
    for (name, fresh) in [("descriptor.bin", &descriptor), ("collector.v1.rs", &code)] {
        let path = folder.join(name);
        if std::env::var_os("GENERATE").is_some() {
            fs::write(&path, fresh).expect("generated file is written");
        }
        let committed = fs::read(&path).unwrap_or_default();
        assert!(
            committed == *fresh,
            "{name} is not what proto/ says: run `make generate`"
        );
    }
}
