//! A model far larger than memory should have to be: cut, verified, joined, identical.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use clap::Args;
use gguf::{TensorType, Value, Writer};
use sha2::{Digest, Sha256};

use super::peak;
use crate::{
    paths, setup,
    shell::{self, Shell},
    steps::human,
};

/// What the project promises for files of any size.
const MEMORY_LIMIT: u64 = 200_000_000;

#[derive(Args)]
pub(crate) struct Options {
    /// Layers of the generated model; each adds 123 MB
    #[arg(long, default_value_t = 16)]
    layers: u32,
    /// Where the files go, which need three times the model's size
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let shell = Shell::with_tools(setup::tool_folders()?)?;
    shell::run(&mut shell.cargo(&["build", "--locked", "--release", "--package", "node"]))?;
    let folder = options
        .folder
        .clone()
        .unwrap_or_else(|| paths::target().join("lab/bigfile"));
    fs::create_dir_all(&folder)?;
    let outcome = experiment(&shell, options.layers, &folder);
    fs::remove_dir_all(&folder)?;
    outcome
}

fn experiment(shell: &Shell, layers: u32, folder: &Path) -> Result<()> {
    let (model, fragments, joined) = (
        folder.join("model.gguf"),
        folder.join("fragments"),
        folder.join("joined.gguf"),
    );
    let writer = declare(layers)?;
    let length = writer.file_len();
    let free = peak::free_space(folder)?;
    ensure!(
        free > 3 * length,
        "{free} bytes are free in {}, {} are needed",
        folder.display(),
        3 * length
    );
    println!("generating {} ({length} bytes)", model.display());
    generate(writer, &model)?;
    let wanted = digest(&model)?;
    let iap2p = |arguments: [&str; 1], files: &[&Path]| {
        let mut command = shell.command(paths::target().join("release/iap2p"));
        peak::measure(command.args(arguments).args(files))
    };
    let costs = [
        ("cut", iap2p(["cut"], &[&model, &fragments])?),
        ("verify", iap2p(["verify"], &[&fragments])?),
        ("join", iap2p(["join"], &[&fragments, &joined])?),
    ];
    ensure!(
        digest(&joined)? == wanted,
        "the joined file differs from the original"
    );
    println!("\n{length} bytes, joined file identical (SHA-256 {wanted})");
    for (what, cost) in &costs {
        println!(
            "  {what:7} {:>9}  peak memory {:>4} MB",
            human(cost.time),
            cost.bytes / 1_000_000
        );
    }
    let worst = costs.iter().map(|(_, cost)| cost.bytes).max().unwrap_or(0);
    ensure!(
        worst <= MEMORY_LIMIT,
        "{worst} bytes of memory are more than {MEMORY_LIMIT}"
    );
    Ok(())
}

/// The tensors of a `llama` model of 4096 dimensions with the mix of types of Q4_K_M.
fn declare(layers: u32) -> Result<Writer> {
    const EMBEDDING: u64 = 4096;
    const KEYS: u64 = 1024;
    const HIDDEN: u64 = 14336;
    const VOCABULARY: u64 = 32000;
    let mut writer = Writer::new();
    writer.metadata("general.architecture", Value::String("llama".into()))?;
    let hyperparameters = [
        ("block_count", layers),
        ("embedding_length", EMBEDDING as u32),
        ("feed_forward_length", HIDDEN as u32),
        ("context_length", 8192),
        ("vocab_size", VOCABULARY as u32),
        ("attention.head_count", 32),
        ("attention.head_count_kv", 8),
        ("rope.dimension_count", 128),
    ];
    for (key, value) in hyperparameters {
        writer.metadata(&format!("llama.{key}"), Value::U32(value))?;
    }
    writer.metadata("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5))?;
    writer.tensor(
        "token_embd.weight",
        &[EMBEDDING, VOCABULARY],
        TensorType::Q4_K,
    )?;
    for layer in 0..layers {
        // Q4_K_M keeps more bits of these two in half of the layers.
        let careful = if layer % 2 == 0 {
            TensorType::Q6_K
        } else {
            TensorType::Q4_K
        };
        let tensors: [(&str, &[u64], TensorType); 9] = [
            ("attn_norm", &[EMBEDDING], TensorType::F32),
            ("attn_q", &[EMBEDDING, EMBEDDING], TensorType::Q4_K),
            ("attn_k", &[EMBEDDING, KEYS], TensorType::Q4_K),
            ("attn_v", &[EMBEDDING, KEYS], careful),
            ("attn_output", &[EMBEDDING, EMBEDDING], TensorType::Q4_K),
            ("ffn_norm", &[EMBEDDING], TensorType::F32),
            ("ffn_gate", &[EMBEDDING, HIDDEN], TensorType::Q4_K),
            ("ffn_up", &[EMBEDDING, HIDDEN], TensorType::Q4_K),
            ("ffn_down", &[HIDDEN, EMBEDDING], careful),
        ];
        for (name, shape, ty) in tensors {
            writer.tensor(&format!("blk.{layer}.{name}.weight"), shape, ty)?;
        }
    }
    writer.tensor("output_norm.weight", &[EMBEDDING], TensorType::F32)?;
    writer.tensor("output.weight", &[EMBEDDING, VOCABULARY], TensorType::Q6_K)?;
    Ok(writer)
}

/// Fills the tensors with bytes that nothing can compress or guess, the same each time.
fn generate(writer: Writer, file: &Path) -> Result<()> {
    let mut left: u64 = writer
        .tensors()
        .iter()
        .map(gguf::TensorInfo::byte_len)
        .sum();
    let mut data = writer.start(BufWriter::with_capacity(1 << 20, File::create(file)?))?;
    let (mut block, mut state) = (vec![0; 1 << 20], 0x9E37_79B9_7F4A_7C15_u64);
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let now = left.min(block.len() as u64);
        data.write(&block[..now as usize])?;
        left -= now;
    }
    data.finish()?.flush()?;
    Ok(())
}

fn digest(file: &Path) -> Result<String> {
    let (mut file, mut hash) = (BufReader::new(File::open(file)?), Sha256::new());
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => break,
            length => hash.update(&block[..length]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
