//! What deploys the collector says what the code says: Dockerfile, cloudbuild.yaml, and the guides.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use real_streaming::config::variables::{ACCEPTED, PREFIX, VARIABLES};
use real_streaming::config::{Config, LogConfig, WriterConfig};
use real_streaming::pipeline::Acknowledge;

use crate::support::process::command;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[track_caller]
fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn files_below(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files_below(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

/// Words that look like variables of the configuration, without the prefix.
fn variables_named(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.split(|c| !is_part(c))
        .map(|word| word.strip_prefix(PREFIX).unwrap_or(word).trim_matches('_'))
        .filter(|word| word.contains("__") && *word != "SECTION__KEY")
        .collect()
}

#[test]
fn every_variable_that_is_named_exists() {
    let mut guides = Vec::new();
    files_below(&path("docs"), "md", &mut guides);
    let guides = guides.iter().map(|guide| guide.display().to_string());
    let others = ["Dockerfile", "cloudbuild.yaml", "README.md", "SECURITY.md"];
    let others = others.map(str::to_owned).into_iter();
    let known = |name: &str| {
        VARIABLES.iter().any(|variable| variable.name == name) || ACCEPTED.contains(&name)
    };
    let mut seen = 0;
    for file in others.chain(guides).chain(["ARCHITECTURE.md".to_owned()]) {
        for name in variables_named(&text(&file)) {
            seen += 1;
            assert!(known(name), "{file} names {name}, which does not exist");
        }
    }
    assert!(seen > 40, "only {seen} were seen");
    assert_eq!(
        variables_named("`APP_CONFIG__RUN__PORT=1`, LOG__DIR; __uid__ APP_CONFIG__… A_B"),
        ["RUN__PORT", "LOG__DIR"]
    );
}

/// The words of an instruction in its JSON form.
#[track_caller]
fn words(dockerfile: &str, instruction: &str) -> Vec<String> {
    let line = dockerfile
        .lines()
        .find(|line| line.starts_with(instruction));
    let line = line.unwrap_or_else(|| panic!("no {instruction}"));
    serde_json::from_str(&line[line.find('[').expect("its words")..]).expect("a JSON list")
}

#[test]
fn the_image_calls_what_the_binary_has() {
    let dockerfile = text("Dockerfile");
    assert_eq!(words(&dockerfile, "ENTRYPOINT"), ["real-streaming"]);
    let health = words(&dockerfile, "HEALTHCHECK");
    assert_eq!(health[0], "real-streaming");
    for arguments in [&words(&dockerfile, "CMD")[..], &health[1..]] {
        let help = command(Path::new("/"), &[])
            .args(arguments)
            .arg("--help")
            .output();
        assert!(help.unwrap().status.success(), "{arguments:?}");
    }
}

#[test]
fn the_image_is_built_with_the_compiler_that_the_manifest_asks_for() {
    let manifest = text("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "));
    let version = version.expect("a version").trim_matches('"');
    let from = format!("FROM rust:{version}-slim-bookworm AS build");
    assert!(
        text("Dockerfile").lines().any(|line| line == from),
        "{from}"
    );
}

#[test]
fn the_image_is_built_from_all_that_the_sources_include() {
    let ignored = text(".dockerignore");
    let mut seen: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    seen.sort_unstable();
    let mut sources = Vec::new();
    files_below(&path("src"), "rs", &mut sources);
    // Tests are not part of the image.
    sources.retain(|source| !source.ends_with("tests.rs"));
    let mut included = vec![
        path("Cargo.toml"),
        path("Cargo.lock"),
        path("build.rs"),
        path("bench"),
        path("benches"),
        path("devices"),
    ];
    for source in sources {
        let code = fs::read_to_string(&source).expect("a source");
        for call in ["include_str!(\"", "include_bytes!(\""] {
            for rest in code.split(call).skip(1) {
                let relative = rest.split('"').next().expect("a name");
                let file = source.parent().expect("a folder").join(relative);
                included.push(file.canonicalize().expect(relative));
            }
        }
        included.push(source);
    }
    let root = path("").canonicalize().expect("the root");
    let mut needed: Vec<&str> = included
        .iter()
        .map(|file| file.strip_prefix(&root).expect("below the root"))
        .map(|file| {
            file.iter()
                .next()
                .and_then(|name| name.to_str())
                .expect("a name")
        })
        .collect();
    needed.sort_unstable();
    needed.dedup();
    assert_eq!(
        seen, needed,
        "what .dockerignore lets through, and what is needed"
    );
}

/// The substitutions of cloudbuild.yaml with their defaults.
fn substitutions(build: &str) -> BTreeMap<String, String> {
    let lines = build.lines().skip_while(|line| *line != "substitutions:");
    lines
        .skip(1)
        .take_while(|line| line.starts_with("  ") || line.is_empty())
        .filter(|line| line.trim_start().starts_with('_'))
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

/// The scripts of its steps, by the id of the step.
fn scripts(build: &str) -> Vec<(String, String)> {
    let steps = build.split("\n  - id: ").skip(1);
    steps
        .map(|step| {
            let id = step.lines().next().expect("an id").to_owned();
            let script = step
                .lines()
                .skip_while(|line| line.trim() != "script: |")
                .skip(1);
            let script = script.take_while(|line| line.starts_with("      "));
            (
                id,
                script
                    .map(|line| format!("{}\n", line.trim_start()))
                    .collect(),
            )
        })
        .collect()
}

/// Runs the steps where docker and gcloud only say what they were told.
fn play(given: &[(&str, &str)]) -> String {
    let build = text("cloudbuild.yaml");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for name in ["docker", "gcloud"] {
        let program = folder.path().join(name);
        fs::write(
            &program,
            format!("#!/bin/sh\nprintf '%s|' {name} \"$@\"\necho\n"),
        )
        .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut said = String::new();
    for (id, script) in scripts(&build) {
        let output = Command::new("bash")
            .args(["-c", &script])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
            .envs([("PROJECT_ID", "my-project"), ("BUILD_ID", "build-7")])
            .envs(substitutions(&build))
            .envs(given.iter().copied())
            .output()
            .expect("bash runs");
        assert!(output.status.success(), "{id}: {output:?}");
        said.push_str(&String::from_utf8(output.stdout).expect("text"));
    }
    said
}

#[test]
fn cloud_build_builds_pushes_and_deploys_the_same_image() {
    let given = [
        ("_AR_HOSTNAME", "europe-docker.pkg.dev"),
        ("_AR_REPO", "shop"),
        ("_SERVICE_NAME", "collect"),
        ("_DEPLOY_REGION", "europe-west1"),
        ("_PLATFORM", "managed"),
        ("COMMIT_SHA", "c0ffee"),
    ];
    let image = "europe-docker.pkg.dev/my-project/shop/collect";
    assert_eq!(
        play(&given),
        format!(
            "docker|build|--tag|{image}:latest|--tag|{image}:c0ffee|.|\n\
             docker|push|{image}:c0ffee|\n\
             docker|push|{image}:latest|\n\
             gcloud|run|deploy|collect|--image={image}:c0ffee|--region=europe-west1|--platform=managed|--allow-unauthenticated|\n"
        )
    );
}

#[test]
fn a_build_by_hand_has_a_tag_and_may_set_the_variables() {
    let image = "us-central1-docker.pkg.dev/my-project/real-streaming/real-streaming";
    for commit in [&[][..], &[("COMMIT_SHA", "")]] {
        let said = play(&[commit, &[("_ENV_FILE", "deploy/my env.yaml")]].concat());
        assert_eq!(
            said.lines().last(),
            Some(&*format!(
                "gcloud|run|deploy|real-streaming|--image={image}:build-7|--region=us-central1|--platform=managed|--allow-unauthenticated|--env-vars-file=deploy/my env.yaml|"
            ))
        );
        assert!(
            said.contains(&format!("docker|push|{image}:build-7|")),
            "{said}"
        );
    }
}

#[test]
fn substitutions_are_declared_used_and_explained() {
    let build = text("cloudbuild.yaml");
    let guide = text("docs/cloud-run.md");
    let declared = substitutions(&build);
    for name in [
        "_AR_HOSTNAME",
        "_AR_REPO",
        "_SERVICE_NAME",
        "_DEPLOY_REGION",
        "_PLATFORM",
    ] {
        assert!(declared.contains_key(name), "{name} of the predecessor");
    }
    let scripts: String = scripts(&build)
        .into_iter()
        .map(|(_, script)| script)
        .collect();
    for (name, default) in &declared {
        assert!(scripts.contains(name), "{name} is not used");
        let value = if default.is_empty() { "empty" } else { default };
        let row = guide
            .lines()
            .find(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
        assert!(
            row.is_some_and(|row| row.contains(value)),
            "{name} is not explained"
        );
    }
    for (file, text) in [("cloudbuild.yaml", &build), ("the guide", &guide)] {
        let given = text.split("--substitutions=").nth(1).expect("an example");
        let given = given
            .split_whitespace()
            .next()
            .expect("its values")
            .split(',');
        for (name, _) in given.map(|pair| pair.split_once('=').expect("name=value")) {
            assert!(declared.contains_key(name), "{file} gives {name}");
        }
    }
}

/// The configuration of these variables on Cloud Run.
#[track_caller]
fn on_cloud_run(variables: impl IntoIterator<Item = (String, String)>) -> Config {
    let mut values: BTreeMap<String, String> = variables.into_iter().collect();
    values.insert("K_SERVICE".to_owned(), "real-streaming".to_owned());
    values.insert("PORT".to_owned(), "8080".to_owned());
    Config::from_values(values).expect("a right configuration")
}

#[test]
fn the_variables_of_the_guide_are_right_on_cloud_run() {
    let guide = text("docs/cloud-run.md");
    let block = guide
        .split("```yaml\n")
        .find(|block| block.starts_with(PREFIX));
    let block = block
        .expect("a block of variables")
        .split("```")
        .next()
        .unwrap();
    let config = on_cloud_run(block.lines().map(|line| {
        let (name, value) = line.split_once(": ").expect("name: value");
        (name.to_owned(), value.trim_matches(['"', '\'']).to_owned())
    }));
    assert_eq!(config.enrich.trusted_hops, 2);
    assert_eq!(config.cors.allowed_origins, ["https://www.example.com"]);
    assert_eq!(config.acknowledge, Acknowledge::Written);
    let LogConfig::Memory { max_bytes } = config.log else {
        panic!("a log in memory")
    };
    assert_eq!(max_bytes, 128 << 20);
}

#[test]
fn the_variables_of_the_predecessor_are_right_on_cloud_run() {
    let config = on_cloud_run(
        [
            ("WRITERS__PROJECT_ID", "your-project-id"),
            ("WRITERS__BQ__DATASET_ID", "your_dataset_id"),
            ("WRITERS__BQ__TABLE_ID", "your_table_id"),
            ("WRITERS__PUBSUB__TOPIC_ID", "your_topic_id"),
            ("WRITERS__PUBSUB__SUBSCRIPTION_ID", "your_subscription_id"),
            ("ENVIRONMENT", "PROD"),
            ("CORS__ALLOWED_ORIGINS", ""),
        ]
        .map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned())),
    );
    assert!(config.cors.allowed_origins.is_empty());
    let WriterConfig::BigQuery(writer) = &config.destinations[0].writer else {
        panic!("BigQuery is where its table is named")
    };
    assert_eq!(
        (writer.project.as_str(), writer.dataset.as_str()),
        ("your-project-id", "your_dataset_id")
    );
    // Nobody waits for a timer where a 2xx says that the row is there.
    assert_eq!(config.acknowledge, Acknowledge::Written);
    assert_eq!(writer.flush_interval, std::time::Duration::ZERO);
    assert_eq!(writer.journal, None);
}

#[test]
fn the_log_lines_that_the_guide_looks_for_are_written() {
    let mut sources = Vec::new();
    files_below(&path("src"), "rs", &mut sources);
    let code: String = sources
        .iter()
        .map(|source| fs::read_to_string(source).expect("a source"))
        .collect();
    let guide = text("docs/cloud-run.md");
    let queries = guide
        .lines()
        .filter(|line| line.contains("jsonPayload.message="));
    let messages: Vec<&str> = queries
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .collect();
    assert!(messages.len() >= 4, "{messages:?}");
    for message in messages {
        assert!(
            code.contains(&format!("\"{message}\"")),
            "nothing logs {message:?}"
        );
    }
    assert!(guide.contains("jsonPayload.alarm:*") && code.contains("alarm = \""));
}
