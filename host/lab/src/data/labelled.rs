//! Labelled examples as people's files and programs hold them: checked, then kept without zeros.

use std::borrow::Cow;

use myopia_core::mlp::Pair;
use myopia_core::real::Real;

use crate::failure::Failure;
use crate::memory::afford;
use crate::precision::{Precision, in_precision};
use crate::problem::{Data, ExampleSet, Examples, Sets};

/// Inputs of examples, one example after the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Inputs<'a> {
    /// Whole numbers p from 0 to 255; an input is p/255.
    Bytes(Cow<'a, [u8]>),
    /// Inputs in single precision, as they are.
    F32(Cow<'a, [f32]>),
    /// Inputs in double precision, as they are.
    F64(Cow<'a, [f64]>),
}

/// Examples with their labels, not yet checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled<'a> {
    /// What messages call the inputs and the labels.
    pub names: [String; 2],
    /// Inputs of an example.
    pub width: usize,
    /// The inputs of all examples.
    pub inputs: Inputs<'a>,
    /// The class of each example.
    pub labels: Vec<i64>,
}

/// Examples to train on and, perhaps, to test on.
#[derive(Clone, Debug, PartialEq)]
pub struct Own<'a> {
    /// Those to train on, of which the last are held out.
    pub training: Labelled<'a>,
    /// Those to test on.
    pub test: Option<Labelled<'a>>,
    /// How many at the end of the training examples a validation objective holds out; a sixth
    /// where there is no number.
    pub held_out: Option<usize>,
}

/// The most inputs and the most classes: a network's layer has no more units.
const WIDEST: usize = u16::MAX as usize;

/// How classes are numbered, for messages.
const NUMBERING: &str = "number the classes 0, 1, 2 and so on without a gap";

impl Inputs<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::F32(numbers) => numbers.len(),
            Self::F64(numbers) => numbers.len(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Bytes(_) => "uint8",
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
        }
    }
}

impl Labelled<'_> {
    /// Refuses sizes that do not fit, or that no network can have.
    fn check_sizes(&self) -> Result<(), Failure> {
        let [inputs, labels] = &self.names;
        let (count, width) = (self.labels.len(), self.width);
        if width == 0 || width > WIDEST {
            return Err(Failure::run(format!(
                "{inputs}: examples of {width} inputs; give from 1 to {WIDEST}"
            )));
        }
        let found = self.inputs.len() / width;
        if found != count {
            return Err(Failure::run(format!(
                "{inputs}: {found} examples, but {count} labels in {labels}; give one label for each example"
            )));
        }
        if count == 0 || u32::try_from(count).is_err() {
            return Err(Failure::run(format!(
                "{inputs}: {count} examples; give from 1 to {}",
                u32::MAX
            )));
        }
        Ok(())
    }

    /// How many classes there are: 0, 1, 2 and so on, each with an example.
    fn classes(&self) -> Result<usize, Failure> {
        let labels = &self.names[1];
        let mut has_example = vec![false; WIDEST];
        for (example, &label) in self.labels.iter().enumerate() {
            let place = usize::try_from(label).ok().and_then(|label| has_example.get_mut(label));
            let Some(place) = place else {
                return Err(Failure::run(format!(
                    "{labels}: example {example}, counted from 0, has the label {label}; {NUMBERING}"
                )));
            };
            *place = true;
        }
        let classes = has_example.iter().rposition(|found| *found).map_or(0, |last| last + 1);
        if let Some(missing) = has_example[..classes].iter().position(|found| !found) {
            return Err(Failure::run(format!(
                "{labels}: the labels run up to {}, and no example has {missing}; {NUMBERING}",
                classes - 1
            )));
        }
        match classes {
            1 => Err(Failure::run(format!(
                "{labels}: every example has the label 0; give examples of two classes or more"
            ))),
            classes => Ok(classes),
        }
    }

    /// The examples in the float `T`.
    fn set<T: Real>(&self) -> Result<ExampleSet<T>, Failure> {
        let whole = T::from_u32(255);
        match &self.inputs {
            // By division (contract 8).
            Inputs::Bytes(bytes) => self.set_of(bytes, |p| T::from_u32(p.into()) / whole),
            Inputs::F32(numbers) => self.set_of(numbers, T::from_f32),
            Inputs::F64(numbers) => self.set_of(numbers, T::from_f64),
        }
    }

    fn set_of<S: Copy, T: Real>(
        &self,
        inputs: &[S],
        number: impl Fn(S) -> T + Copy,
    ) -> Result<ExampleSet<T>, Failure>
    where
        f64: From<S>,
    {
        let name = &self.names[0];
        let mut pairs = 0;
        for (example, row) in inputs.chunks_exact(self.width).enumerate() {
            for pair in row.chunks(2) {
                pairs += usize::from(pair.iter().any(|&x| number(x) != T::ZERO));
            }
            let strange = row.iter().position(|&x| !number(x).to_f64().is_finite());
            let Some(place) = strange else { continue };
            let found = f64::from(row[place]);
            let remedy = match found.is_finite() {
                true => format!("which {} cannot hold; scale the inputs", T::NAME),
                false => "and inputs must be finite; replace it or leave the example out".into(),
            };
            return Err(Failure::run(format!(
                "{name}: input {place} of example {example}, counted from 0, is {found:?}, {remedy}"
            )));
        }
        let bytes = pairs as u128 * size_of::<Pair<T>>() as u128;
        afford(name, bytes, "give fewer examples or free some memory")?;
        let labels = self.labels.iter().map(|&label| label as u16);
        let rows = inputs.chunks_exact(self.width);
        let examples = rows
            .zip(labels)
            .map(|(row, label)| (label, (0..u16::MAX).zip(row.iter().map(move |&x| number(x)))));
        Ok(ExampleSet::with_room(pairs, examples))
    }
}

impl Own<'_> {
    /// The examples in `precision`, checked: sizes that fit, finite inputs, classes 0, 1, 2 and so
    /// on, each with an example to train on.
    ///
    /// # Errors
    /// One sentence that names what is wrong.
    pub fn load(&self, precision: Precision) -> Result<Data, Failure> {
        in_precision!(precision, T => self.load_as::<T>())
    }

    fn load_as<T: Real>(&self) -> Result<Data, Failure>
    where
        Examples: From<Sets<T>>,
    {
        let Self { training, test, held_out } = self;
        training.check_sizes()?;
        let classes = training.classes()?;
        let count = training.labels.len();
        // A sixth, as of MNIST.
        let held_out = held_out.unwrap_or(count / 6);
        if held_out == 0 || held_out >= count {
            return Err(Failure::run(format!(
                "{}: {count} examples are too few to train on and to hold some out; give six or more",
                training.names[0]
            )));
        }
        if let Some(test) = test {
            test.check_sizes()?;
            fits(training, test, classes)?;
        }
        let empty = || ExampleSet::collect(std::iter::empty::<(u16, [(u16, T); 0])>());
        let sets = Sets::<T> {
            training: training.set()?,
            test: test.as_ref().map_or_else(|| Ok(empty()), Labelled::set)?,
        };
        let inputs = training.width;
        Ok(Data { examples: Examples::from(sets), held_out, inputs, classes })
    }
}

/// Refuses a test set that is not of the kind of the training set.
fn fits(training: &Labelled<'_>, test: &Labelled<'_>, classes: usize) -> Result<(), Failure> {
    let [[train_inputs, _], [test_inputs, test_labels]] = [&training.names, &test.names];
    if training.width != test.width {
        return Err(Failure::run(format!(
            "{train_inputs}: examples of {} inputs, but of {} in {test_inputs}; give both the same",
            training.width, test.width
        )));
    }
    let [trained, tested] = [&training.inputs, &test.inputs].map(Inputs::kind);
    if trained != tested {
        return Err(Failure::run(format!(
            "{train_inputs} is {trained} and {test_inputs} is {tested}; give both in one type, so that they are \
             scaled alike"
        )));
    }
    let known = |label: i64| usize::try_from(label).is_ok_and(|label| label < classes);
    let strange = test.labels.iter().position(|&label| !known(label));
    strange.map_or(Ok(()), |example| {
        Err(Failure::run(format!(
            "{test_labels}: example {example}, counted from 0, has the label {}, which none has of those trained on; \
             they have 0 to {}",
            test.labels[example],
            classes - 1
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Set;

    fn part(
        which: &str,
        width: usize,
        inputs: Inputs<'static>,
        labels: &[i64],
    ) -> Labelled<'static> {
        let names = [format!("x_{which}"), format!("y_{which}")];
        Labelled { names, width, inputs, labels: labels.to_vec() }
    }

    fn floats(numbers: &[f32]) -> Inputs<'static> {
        Inputs::F32(Cow::Owned(numbers.to_vec()))
    }

    /// Six examples of two inputs to train on, one to test on.
    fn sound() -> Own<'static> {
        let inputs = floats(&[0.0, 1.0, 0.5, 0.0, -1.0, 2.0, 0.0, 0.0, 3.0, 0.25, 1.0, 1.0]);
        Own {
            training: part("train", 2, inputs, &[0, 1, 2, 0, 1, 2]),
            test: Some(part("test", 2, floats(&[1.0, 0.0]), &[2])),
            held_out: None,
        }
    }

    fn refusal(change: impl FnOnce(&mut Own<'static>)) -> String {
        let mut own = sound();
        change(&mut own);
        let Err(failure) = own.load(Precision::F32) else { panic!("{own:?} was taken") };
        failure.to_string()
    }

    #[test]
    fn sizes_and_classes_are_those_of_the_examples() {
        let data = sound().load(Precision::F32).unwrap();
        assert_eq!((data.inputs, data.classes, data.held_out), (2, 3, 1));
        assert_eq!((data.len(Set::Training), data.len(Set::Test)), (6, 1));
        let mut without = sound();
        without.test = None;
        let without = without.load(Precision::F64).unwrap();
        assert_eq!((without.len(Set::Test), without.precision()), (0, Precision::F64));
    }

    #[test]
    fn floats_are_the_same_data_in_either_type_and_bytes_are_divided_by_255() {
        let digest = |inputs: Inputs<'static>, precision| {
            let mut own = sound();
            own.training.inputs = inputs;
            own.test = None;
            own.load(precision).unwrap().digest()
        };
        let bytes = [0, 255, 51, 0, 102, 255, 0, 0, 3, 1, 255, 254];
        let scaled = bytes.map(|p| f32::from(p) / 255.0);
        let wide = scaled.map(f64::from).to_vec();
        let single = digest(floats(&scaled), Precision::F32);
        assert_eq!(digest(Inputs::F64(wide.into()), Precision::F32), single);
        assert_eq!(digest(Inputs::Bytes(bytes.to_vec().into()), Precision::F32), single);
        let double = bytes.map(|p| f64::from(p) / 255.0).to_vec();
        let double = digest(Inputs::F64(double.into()), Precision::F64);
        assert_eq!(digest(Inputs::Bytes(bytes.to_vec().into()), Precision::F64), double);
    }

    #[test]
    fn what_is_wrong_is_named_in_one_sentence() {
        let labels =
            |labels: &'static [i64]| move |own: &mut Own<'_>| own.training.labels = labels.into();
        let inputs = |at: usize, x: f32| {
            move |own: &mut Own<'static>| {
                let Inputs::F32(numbers) = &mut own.training.inputs else { unreachable!() };
                numbers.to_mut()[at] = x;
            }
        };
        assert_eq!(
            refusal(labels(&[0, 1, 2, 0, 1, -1])),
            "y_train: example 5, counted from 0, has the label -1; number the classes 0, 1, 2 and so on without a gap"
        );
        assert_eq!(
            refusal(labels(&[0, 1, 3, 0, 1, 3])),
            "y_train: the labels run up to 3, and no example has 2; number the classes 0, 1, 2 and so on without a gap"
        );
        assert!(refusal(labels(&[1, 1, 2, 2, 1, 1])).contains("and no example has 0"));
        assert!(refusal(labels(&[0, 1, 2, 0, 1, 65_535])).contains("the label 65535"));
        assert_eq!(
            refusal(labels(&[0; 6])),
            "y_train: every example has the label 0; give examples of two classes or more"
        );
        assert_eq!(
            refusal(labels(&[0, 1, 2])),
            "x_train: 6 examples, but 3 labels in y_train; give one label for each example"
        );
        assert_eq!(
            refusal(inputs(7, f32::NAN)),
            "x_train: input 1 of example 3, counted from 0, is NaN, and inputs must be finite; replace it or leave the \
             example out"
        );
        assert!(refusal(inputs(0, f32::NEG_INFINITY)).contains("is -inf, and inputs"));
        let large = |own: &mut Own<'static>| {
            own.training.inputs = Inputs::F64(vec![1e300; 12].into());
            own.test = None;
        };
        assert_eq!(
            refusal(large),
            "x_train: input 0 of example 0, counted from 0, is 1e300, which f32 cannot hold; scale the inputs"
        );
        assert_eq!(
            refusal(|own| own.training = part("train", 2, floats(&[1.0; 10]), &[0, 1, 0, 1, 0])),
            "x_train: 5 examples are too few to train on and to hold some out; give six or more"
        );
        assert!(refusal(|own| own.training.width = 0).contains("of 0 inputs; give from 1"));
        assert!(refusal(|own| own.training.width = 70_000).contains("of 70000 inputs"));
    }

    #[test]
    fn a_test_set_of_another_kind_is_refused() {
        let test = |test: Labelled<'static>| move |own: &mut Own<'static>| own.test = Some(test);
        assert_eq!(
            refusal(test(part("test", 3, floats(&[1.0; 3]), &[2]))),
            "x_train: examples of 2 inputs, but of 3 in x_test; give both the same"
        );
        let bytes = Inputs::Bytes(vec![1, 2].into());
        assert_eq!(
            refusal(test(part("test", 2, bytes, &[2]))),
            "x_train is float32 and x_test is uint8; give both in one type, so that they are scaled alike"
        );
        assert_eq!(
            refusal(test(part("test", 2, floats(&[1.0; 2]), &[3]))),
            "y_test: example 0, counted from 0, has the label 3, which none has of those trained on; they have 0 to 2"
        );
        assert!(refusal(test(part("test", 2, floats(&[]), &[]))).contains("x_test: 0 examples"));
    }
}
