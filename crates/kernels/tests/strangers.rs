//! Weights, activations and sizes come from strangers: nothing they send may cause a panic.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{Random, received, supported, values, weights};
use gguf::TensorType;
use kernels::{Activations, Encoding, Error, Isa, encoding_for, matmul, matmul_with, reference};
use proptest::prelude::*;

fn activations(ty: TensorType, width: usize, tokens: usize) -> Activations {
    Activations::encode(encoding_for(ty).unwrap(), width, &vec![1.0; width * tokens]).unwrap()
}

#[test]
fn weights_of_the_wrong_length_are_refused() {
    for ty in supported() {
        let x = activations(ty, 256, 2);
        let row = 256 / ty.block_len() * ty.block_bytes();
        let mut y = [7.0; 6];
        for length in [0, 1, row - 1, 3 * row - 1, 3 * row + 1, 4 * row] {
            let result = matmul(ty, &vec![0; length], 3, &x, &mut y);
            let refused = Error::Length {
                what: "bytes of weights",
                expected: 3 * row,
                found: length,
            };
            assert_eq!(result, Err(refused));
        }
        assert_eq!(y, [7.0; 6], "nothing was written");
    }
}

#[test]
fn results_of_the_wrong_length_are_refused() {
    let x = activations(TensorType::Q4_K, 256, 2);
    for length in [0, 5, 7] {
        let result = matmul(
            TensorType::Q4_K,
            &[0; 3 * 144],
            3,
            &x,
            &mut vec![0.0; length],
        );
        assert!(matches!(
            result,
            Err(Error::Length {
                what: "results",
                ..
            })
        ));
    }
}

#[test]
fn no_rows_or_no_tokens_are_no_results() {
    assert_eq!(
        matmul(
            TensorType::Q4_K,
            &[],
            0,
            &activations(TensorType::Q4_K, 256, 2),
            &mut []
        ),
        Ok(())
    );
    assert_eq!(
        matmul(
            TensorType::Q4_K,
            &[0; 144],
            1,
            &activations(TensorType::Q4_K, 256, 0),
            &mut []
        ),
        Ok(())
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let x = activations(TensorType::F32, 8, 1);
    let result = matmul(TensorType::F32, &[], usize::MAX / 2, &x, &mut []);
    assert_eq!(result, Err(Error::Overflow("bytes of weights")));
    assert_eq!(
        Activations::byte_len(Encoding::Q8_K, 256, usize::MAX / 100),
        None
    );
    assert_eq!(
        Activations::from_bytes(Encoding::Q8_K, 256, usize::MAX / 100, &[]),
        Err(Error::Overflow("activations"))
    );
    let result = reference::matmul(TensorType::F32, &[], usize::MAX / 2, 8, &[], 0, &mut []);
    assert_eq!(result, Err(Error::Overflow("bytes of weights")));
}

#[test]
fn a_width_that_is_not_whole_blocks_is_refused() {
    for (encoding, width, block) in [
        (Encoding::Q8_K, 128, 256),
        (Encoding::Q8_0, 33, 32),
        (Encoding::F32, 0, 1),
    ] {
        let refused = Err(Error::Width { width, block });
        assert_eq!(
            Activations::encode(encoding, width, &vec![0.0; width]),
            refused
        );
        assert_eq!(Activations::from_bytes(encoding, width, 1, &[]), refused);
        assert_eq!(Activations::byte_len(encoding, width, 1), None);
    }
    assert!(matches!(
        Activations::encode(Encoding::Q8_0, 32, &[0.0; 40]),
        Err(Error::Length {
            expected: 32,
            found: 8,
            ..
        })
    ));
}

#[test]
fn activations_in_another_encoding_are_refused_and_can_be_rounded() {
    let x = Activations::encode(Encoding::F32, 256, &[1.5; 256]).unwrap();
    let mut y = [0.0];
    let result = matmul(TensorType::Q4_K, &[0; 144], 1, &x, &mut y);
    let (weights, needed, found) = (TensorType::Q4_K, Encoding::Q8_K, Encoding::F32);
    assert_eq!(
        result,
        Err(Error::Encoding {
            weights,
            needed,
            found
        })
    );
    let rounded = x.to_encoding(Encoding::Q8_K).unwrap();
    assert_eq!(
        matmul(TensorType::Q4_K, &[0; 144], 1, &rounded, &mut y),
        Ok(())
    );
    assert!(matches!(
        rounded.to_encoding(Encoding::Q8_0),
        Err(Error::Recoding {
            from: Encoding::Q8_K,
            to: Encoding::Q8_0
        })
    ));
}

#[test]
fn types_without_kernels_are_refused() {
    let x = activations(TensorType::F32, 256, 1);
    for ty in TensorType::ALL
        .iter()
        .copied()
        .filter(|ty| encoding_for(*ty).is_none())
    {
        assert_eq!(matmul(ty, &[], 0, &x, &mut []), Err(Error::Unsupported(ty)));
        assert_eq!(
            reference::dequantise(ty, &[], &mut [0.0]),
            Err(Error::Unsupported(ty))
        );
    }
}

#[test]
fn instructions_this_machine_lacks_are_refused() {
    let x = activations(TensorType::F32, 1, 1);
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        let result = matmul_with(isa, TensorType::F32, &[0; 4], 1, &x, &mut [0.0]);
        assert_eq!(result, Err(Error::Unavailable(isa)));
    }
    assert!(Isa::best().is_available());
}

#[test]
fn the_byte_no_encoder_makes_is_refused_by_its_place() {
    let mut bytes = vec![1; 2 * 34];
    bytes[34 + 2 + 5] = 0x80;
    let result = Activations::from_bytes(Encoding::Q8_0, 64, 1, &bytes);
    assert_eq!(result, Err(Error::Quant(34 + 2 + 5)));
    // In a scale it is a byte like any other.
    bytes[34 + 2 + 5] = 1;
    bytes[34] = 0x80;
    assert!(Activations::from_bytes(Encoding::Q8_0, 64, 1, &bytes).is_ok());
}

#[test]
fn a_value_that_is_not_finite_makes_its_block_nan_and_no_other() {
    for encoding in [Encoding::Q8_0, Encoding::Q8_K] {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let block = encoding.block_len();
            let mut values = vec![1.0; 2 * block];
            values[3] = poison;
            let decoded = Activations::encode(encoding, block, &values)
                .unwrap()
                .decode();
            assert!(decoded[..block].iter().all(|v| v.is_nan()));
            assert!(decoded[block..].iter().all(|v| (v - 1.0).abs() < 1e-3));
        }
    }
}

proptest! {
    #[test]
    fn bytes_of_activations_are_read_or_refused_and_written_back(
        encoding in prop::sample::select(vec![Encoding::F32, Encoding::F16, Encoding::Q8_0, Encoding::Q8_K]),
        width in 0usize..600,
        tokens in 0usize..4,
        bytes in prop::collection::vec(any::<u8>(), 0..1200),
    ) {
        if let Ok(x) = Activations::from_bytes(encoding, width, tokens, &bytes) {
            prop_assert_eq!(bytes.len(), Activations::byte_len(encoding, width, tokens).unwrap());
            prop_assert_eq!(x.decode().len(), width * tokens);
            // NaN loses its payload the first time, and nothing changes after that.
            let again = x.to_bytes();
            let read = Activations::from_bytes(encoding, width, tokens, &again).unwrap();
            prop_assert_eq!(read.to_bytes(), again);
        }
    }

    #[test]
    fn any_bits_multiply_without_a_panic(index in 0..supported().count(), seed: u64) {
        let ty = supported().nth(index).unwrap();
        let random = &mut Random(seed);
        let (rows, tokens) = (1 + random.below(5), 1 + random.below(10));
        let cols = ty.block_len().max(4) * (1 + random.below(9));
        let weights = weights(ty, rows, cols, true, random);
        let x = received(encoding_for(ty).unwrap(), cols, tokens, random);
        let mut y = vec![0.0; rows * tokens];
        matmul(ty, &weights, rows, &x, &mut y).unwrap();
        reference::matmul(ty, &weights, rows, cols, &values(cols * tokens, true, random), tokens, &mut y).unwrap();
    }
}
