use super::*;

fn tensor(values: &[f32]) -> Tensor {
    Tensor::from_slice(values)
}

/// Against the formulas of Loshchilov and Hutter (2019), in f64.
#[test]
fn adamw_is_adamw() {
    let settings = AdamW { rate: 0.01, betas: [0.9, 0.99], weight_decay: 0.1, eps: 1e-8 };
    let gradients = [[0.5, -2.0], [0.25, 1.0], [-1.0, 0.125]];
    let (parameter, first, second) = (tensor(&[1.0, -3.0]), tensor(&[0.0; 2]), tensor(&[0.0; 2]));
    let (mut p, mut m, mut v) = ([1.0, -3.0], [0.0; 2], [0.0; 2]);
    for (t, gradient) in (1..).zip(gradients) {
        let step = Tensor::from(t as f32);
        let grad = tensor(&gradient.map(|g: f64| g as f32));
        adamw(&[&parameter], &[&grad], [&[&first], &[&second]], &[&step], &settings).unwrap();
        for i in 0..2 {
            p[i] -= 0.01 * 0.1 * p[i];
            m[i] = 0.9 * m[i] + 0.1 * gradient[i];
            v[i] = 0.99 * v[i] + 0.01 * gradient[i] * gradient[i];
            let (m, v) = (m[i] / (1.0 - 0.9_f64.powi(t)), v[i] / (1.0 - 0.99_f64.powi(t)));
            p[i] -= 0.01 * m / (v.sqrt() + 1e-8);
        }
    }
    for (found, expected) in Vec::<f32>::try_from(&parameter).unwrap().into_iter().zip(p) {
        assert!((f64::from(found) - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn lists_are_taken_as_one() {
    let (a, b) = (tensor(&[3.0, 4.0]), tensor(&[-12.0]));
    assert_eq!(Vec::<f32>::try_from(norms(&[&a, &b]).unwrap()).unwrap(), [5.0, 12.0]);
    scale(&[&a, &b], &Tensor::from(0.5_f32)).unwrap();
    lerp(&[&a], &[&tensor(&[2.5, 0.0])], 0.25).unwrap();
    assert_eq!(Vec::<f32>::try_from(&a).unwrap(), [1.75, 1.5]);
    assert_eq!(Vec::<f32>::try_from(&b).unwrap(), [-6.0]);
}

#[test]
fn errors_are_one_line() {
    let (a, b) = (tensor(&[1.0, 2.0]), tensor(&[1.0, 2.0, 3.0]));
    let message = lerp(&[&a], &[&b], 0.5).unwrap_err().to_string();
    assert!(message.starts_with("libtorch: ") && !message.contains('\n'), "{message}");
    assert_eq!(
        lerp(&[&a], &[], 0.5).unwrap_err().to_string(),
        "libtorch: lists of tensors of different lengths: [1, 0]"
    );
}
