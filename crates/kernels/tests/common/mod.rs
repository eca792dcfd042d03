//! Seeded cases that are the same on every target, what must hold for each, and digests of all
//! their bits. Used natively, in Chromium and in wasmtime (`examples/wasmtime.rs`).
#![allow(dead_code, unreachable_pub, reason = "each user takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use gguf::TensorType;
use kernels::{Activations, Encoding, Isa, add_tree, encoding_for, f16, math, matmul_with};
use kernels::{matmul, reference};

/// What [`digests`] must return everywhere. Change it only together with the arithmetic, and then
/// the version of the manifest: old and new nodes no longer agree.
pub const EXPECTED: [(&str, u64); 4] = [
    ("products", 0xbc404dee78ed54ea),
    ("activations", 0xf3debb83561f69df),
    ("reference", 0xe2baeba291e7516b),
    ("functions", 0xac3e7d19cf361f58),
];

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> usize {
        (self.next() % bound) as usize
    }

    /// From −1 to 1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
    }
}

/// Where a block keeps half-precision numbers.
fn halves(ty: TensorType) -> &'static [usize] {
    match ty {
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => &[0, 2],
        TensorType::Q2_K => &[80, 82],
        TensorType::Q3_K => &[108],
        TensorType::Q6_K => &[208],
        _ => &[0],
    }
}

/// Any bits in the quants. The scales are reasonable, or `wild`: any bits, infinities and NaN too.
pub fn weights(
    ty: TensorType,
    rows: usize,
    cols: usize,
    wild: bool,
    random: &mut Random,
) -> Vec<u8> {
    let blocks = rows * cols / ty.block_len();
    let mut bytes: Vec<u8> = (0..blocks * ty.block_bytes())
        .map(|_| random.next() as u8)
        .collect();
    if wild {
        return bytes;
    }
    for block in bytes.chunks_exact_mut(ty.block_bytes()) {
        match ty {
            TensorType::F32 => block.copy_from_slice(&random.float().to_le_bytes()),
            TensorType::BF16 => block.copy_from_slice(&random.float().to_le_bytes()[2..]),
            _ => {
                for &at in halves(ty) {
                    let half = f16::from_f32(random.float() * 0.01);
                    block[at..at + 2].copy_from_slice(&half.to_le_bytes());
                }
            }
        }
    }
    bytes
}

/// Floats of different sizes with outliers and zeros; `wild` ones are any bits.
pub fn values(count: usize, wild: bool, random: &mut Random) -> Vec<f32> {
    let size = [1e-30, 1e-3, 1.0, 300.0][random.below(4)];
    (0..count)
        .map(|_| match random.below(50) {
            _ if wild => f32::from_bits(random.next() as u32),
            0 => 0.0,
            1 => random.float() * size * 30.0,
            _ => random.float() * size,
        })
        .collect()
}

/// What a stranger may send: any bytes, but for the one value that is refused.
pub fn received(
    encoding: Encoding,
    width: usize,
    tokens: usize,
    random: &mut Random,
) -> Activations {
    let length = Activations::byte_len(encoding, width, tokens).unwrap();
    let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    if matches!(encoding, Encoding::Q8_0 | Encoding::Q8_K) {
        bytes
            .iter_mut()
            .filter(|b| **b == 0x80)
            .for_each(|b| *b = 0x81);
    }
    Activations::from_bytes(encoding, width, tokens, &bytes).unwrap()
}

pub struct Case {
    pub ty: TensorType,
    pub rows: usize,
    pub x: Activations,
    pub weights: Vec<u8>,
    pub input: Vec<f32>,
}

pub fn supported() -> impl Iterator<Item = TensorType> {
    TensorType::ALL
        .iter()
        .copied()
        .filter(|ty| encoding_for(*ty).is_some())
}

pub fn case(ty: TensorType, random: &mut Random) -> Case {
    let rows = 1 + random.below(37);
    let tokens = if random.below(3) == 0 {
        1
    } else {
        1 + random.below(11)
    };
    let cols = match ty.block_len() {
        1 => 1 + random.below(70),
        32 => 32 * (1 + random.below(21)),
        _ => 256 * (1 + random.below(4)),
    };
    let kind = random.below(8);
    let encoding = encoding_for(ty).unwrap();
    let weights = weights(ty, rows, cols, kind == 0, random);
    let input = values(cols * tokens, kind == 1, random);
    let x = match kind {
        2 => received(encoding, cols, tokens, random),
        _ => Activations::encode(encoding, cols, &input).unwrap(),
    };
    Case {
        ty,
        rows,
        x,
        weights,
        input,
    }
}

pub fn product(isa: Isa, case: &Case) -> Vec<f32> {
    // Every place must be written, also where nothing is added.
    let mut y = vec![12345.0; case.rows * case.x.tokens()];
    matmul_with(isa, case.ty, &case.weights, case.rows, &case.x, &mut y).unwrap();
    y
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// All instruction sets give the bits of the scalar definition; tokens and rows computed one by
/// one give the same bits as together; the way over the wire changes nothing.
pub fn every_way_gives_the_same_bits(ty: TensorType, seed: u64) {
    let mut case = case(ty, &mut Random(seed));
    let expected = product(Isa::Scalar, &case);
    let at = format!("{} with seed {seed}", ty.name());
    assert!(
        expected
            .iter()
            .all(|v| !v.is_nan() || v.to_bits() == 0x7fc0_0000),
        "{at}: NaN"
    );
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        assert_eq!(bits(&product(isa, &case)), bits(&expected), "{isa}, {at}");
    }
    let (width, tokens) = (case.x.width(), case.x.tokens());
    let bytes = case.x.to_bytes();
    let row = case.weights.len() / case.rows;
    for (t, bytes) in bytes.chunks_exact(bytes.len() / tokens).enumerate() {
        let token = Activations::from_bytes(case.x.encoding(), width, 1, bytes).unwrap();
        let mut y = vec![0.0; case.rows];
        matmul(ty, &case.weights, case.rows, &token, &mut y).unwrap();
        assert_eq!(
            bits(&y),
            bits(&expected[t * case.rows..][..case.rows]),
            "token {t}, {at}"
        );
    }
    let last = case.rows - 1;
    let expected: Vec<f32> = expected.into_iter().skip(last).step_by(case.rows).collect();
    case.weights.drain(..last * row);
    case.rows = 1;
    assert_eq!(
        bits(&product(Isa::best(), &case)),
        bits(&expected),
        "last row, {at}"
    );
}

/// FNV-1a.
struct Digest(u64);

impl Digest {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn floats(&mut self, values: &[f32]) {
        values
            .iter()
            .for_each(|v| self.bytes(&v.to_bits().to_le_bytes()));
    }
}

fn digest(fill: impl FnOnce(&mut Digest)) -> u64 {
    let mut digest = Digest(0xcbf2_9ce4_8422_2325);
    fill(&mut digest);
    digest.0
}

/// Digests of a few hundred seeded results, computed with the given instructions.
pub fn digests(isa: Isa) -> [(&'static str, u64); 4] {
    let cases = || supported().flat_map(|ty| (0..40).map(move |seed| case(ty, &mut Random(seed))));
    let products = digest(|d| cases().for_each(|case| d.floats(&product(isa, &case))));
    let activations = digest(|d| {
        for case in cases() {
            d.bytes(&case.x.to_bytes());
            d.floats(&case.x.decode());
        }
    });
    let reference = digest(|d| {
        for case in cases() {
            let (width, tokens) = (case.x.width(), case.x.tokens());
            let mut y = vec![0.0; case.rows * tokens];
            let (ty, rows) = (case.ty, case.rows);
            reference::matmul(ty, &case.weights, rows, width, &case.input, tokens, &mut y).unwrap();
            d.floats(&y);
        }
    });
    let functions = digest(|d| {
        let mut random = Random(7);
        for size in [1e-3, 1.0, 10.0, 50.0, 1e4, 1e7] {
            let x: Vec<f32> = (0..300).map(|_| random.float() * size).collect();
            let up: Vec<f32> = (0..300).map(|_| random.float()).collect();
            for f in [math::exp, math::silu, math::sin, math::cos] {
                d.floats(&x.iter().map(|x| f(*x)).collect::<Vec<_>>());
            }
            d.floats(
                &x.iter()
                    .map(|x| math::pow(x.abs(), random.float()))
                    .collect::<Vec<_>>(),
            );
            d.floats(&x.iter().map(|x| math::ln(x.abs())).collect::<Vec<_>>());
            d.floats(&math::rms_norm(&x, &up, 1e-5).unwrap());
            d.floats(&[math::dot(&x, &up), math::dot(&x[..77], &up)]);
            let parts = (0..13).map(|i| x[i * 20..(i + 1) * 20].to_vec()).collect();
            d.floats(&add_tree(parts).unwrap());
            let mut y = x.clone();
            math::add_scaled(&mut y, 0.3, &up);
            d.floats(&y);
            math::swiglu(&mut y, &up).unwrap();
            d.floats(&y);
            math::softmax(&mut y);
            d.floats(&y);
        }
    });
    [
        ("products", products),
        ("activations", activations),
        ("reference", reference),
        ("functions", functions),
    ]
}
