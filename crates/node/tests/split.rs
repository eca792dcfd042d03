//! Models in several files, through the program.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use common::{Lab, demo_model};
use gguf::{Header, Value, Writer};
use std::fs;
use std::path::{Path, PathBuf};

/// The demonstration model in three files, the first of which has no tensors.
fn split_demo(lab: &Lab) -> Vec<PathBuf> {
    let file = fs::read(demo_model()).unwrap();
    let header = Header::parse(&file, Some(file.len() as u64)).unwrap();
    let middle = header.tensors.len() / 2;
    let parts = [&[], &header.tensors[..middle], &header.tensors[middle..]];
    let names = (1..=3).map(|number| lab.path(&format!("demo-{number:05}-of-00003.gguf")));
    let names: Vec<_> = names.collect();
    for ((number, tensors), name) in (0u16..).zip(parts).zip(&names) {
        let mut writer = Writer::new();
        for (key, value) in header.metadata.iter().filter(|_| number == 0) {
            writer.metadata(key, value.clone()).unwrap();
        }
        writer.metadata("split.no", Value::U16(number)).unwrap();
        writer.metadata("split.count", Value::U16(3)).unwrap();
        for tensor in tensors {
            writer
                .tensor(&tensor.name, &tensor.shape, tensor.ty)
                .unwrap();
        }
        let mut data = writer.start(fs::File::create(name).unwrap()).unwrap();
        for tensor in tensors {
            let start = (header.data_offset + tensor.offset) as usize;
            data.write(&file[start..][..tensor.byte_len() as usize])
                .unwrap();
        }
        data.finish().unwrap();
    }
    names
}

#[test]
fn a_model_in_several_files_is_one_to_every_command() {
    let lab = Lab::new();
    let files = split_demo(&lab);
    let generate = |model: &Path| {
        let options = [
            "generate",
            "--prompt",
            "Bonjour",
            "--max-tokens",
            "12",
            "--model",
        ];
        lab.good(options.map(Path::new).into_iter().chain([model]))
    };
    let whole = generate(&demo_model());
    for file in &files {
        assert_eq!(generate(file), whole);
    }
    let said = lab.good([Path::new("inspect"), &files[2]]);
    assert!(said.contains("layers        4 of width 256"), "{said}");

    let (folder, joined) = (lab.path("fragments"), lab.path("joined.gguf"));
    lab.good([Path::new("cut"), &files[1], &folder]);
    assert_eq!(generate(&folder), whole);
    let said = lab.good([Path::new("join"), &folder, &joined]);
    assert_eq!(said.lines().count(), 3);
    for (number, file) in (1..).zip(&files) {
        let joined = lab.path(&format!("joined-{number:05}-of-00003.gguf"));
        assert!(fs::read(joined).unwrap() == fs::read(file).unwrap());
    }
    fs::remove_file(&files[1]).unwrap();
    let said = lab.bad([Path::new("inspect"), &files[2]]);
    assert!(said.contains("demo-00002-of-00003.gguf"), "{said}");
}
