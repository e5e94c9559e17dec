"""The command line of train.py."""

import argparse
from collections.abc import Sequence
from inspect import signature
from pathlib import Path

import analysis_options
import datasets
import devices
from converters import fraction, natural, natural_number, one_of, positive, positive_number

EXAMPLES = """\
examples:
  train:     ./train.py --model ai84net5 --dataset FashionMNIST --epochs 20 --optimizer Adam --lr 0.003 \\
                 --compress schedules/onecycle.yaml --seed 1
  continue:  the same command with --resume-from logs/latest/checkpoint.pth.tar
  share:     torchrun --standalone --nproc-per-node 2 train.py ...the same options...
  evaluate:  ./train.py --model ai84net5 --dataset FashionMNIST --evaluate \\
                 --exp-load-weights-from logs/latest/best.pth.tar
  8-bit:     the same with -8 and the file that ai84ize.py wrote
  AI85:      ./train.py --device 85 --model ai85net5 --dataset FashionMNIST --batch-norm --epochs 20 --optimizer Adam \
                 --lr 0.003 --compress schedules/onecycle.yaml --qat-policy schedules/qat_policy.yaml
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser with all options, in groups."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train or evaluate a network for the AI84 or the AI85 (MAX78000) accelerator.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser.add_argument_group("model, data, device"))
    add_training_options(parser.add_argument_group("training"))
    add_augmentation_options(parser.add_argument_group("augmentation of training images"))
    add_distillation_options(parser.add_argument_group("knowledge distillation"))
    add_start_options(parser.add_argument_group("start and resume"))
    add_evaluation_options(parser.add_argument_group("evaluation"))
    analysis_options.add_to(parser.add_argument_group("analysis: see docs/analysis.md"))
    add_output_options(parser.add_argument_group("output"))
    return parser


def add_model_options(group: argparse._ArgumentGroup) -> None:
    """Which network, on which images, for and on which device."""
    models = [name for device in devices.DEVICES for name in device.models]
    group.add_argument(
        "-a",
        "--arch",
        "--model",
        dest="arch",
        required=True,
        type=one_of("model", models),
        metavar="NAME",
        help=f"network: {', '.join(models)}",
    )
    group.add_argument(
        "--dataset",
        required=True,
        type=one_of("data set", datasets.NAMES),
        metavar="NAME",
        help=f"data set: {', '.join(datasets.NAMES)}",
    )
    group.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="folder of the data sets; what is missing is downloaded into it [data]",
    )
    group.add_argument(
        "--image-size",
        type=positive,
        metavar="N",
        help="with --dataset ImageFolder: resize all pictures to N x N pixels [all must have the size of the first]",
    )
    names = [name for device in devices.DEVICES for name in (*device.synonyms, device.name)]
    group.add_argument(
        "--device",
        type=one_of("device", names),
        default="84",
        metavar="DEVICE",
        help=f"accelerator that the network must fit: {', '.join(names)} [84]",
    )
    group.add_argument(
        "--use-bias", action="store_true", help="give the convolutions a bias (on AI84 worth at most one step)"
    )
    group.add_argument(
        "--batch-norm",
        action="store_true",
        help="normalize the convolutions' outputs while training; on AI84 only networks with a constant channel",
    )
    group.add_argument("--cpu", action="store_true", help="compute on the CPU even where there is CUDA")
    group.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="arithmetic of training; auto is bfloat16 on a CPU that has it, else float32 [auto]",
    )


def add_training_options(group: argparse._ArgumentGroup) -> None:
    """How to train."""
    group.add_argument(
        "--epochs", type=positive, default=90, metavar="N", help="length of the run, also when resuming [90]"
    )
    group.add_argument("-b", "--batch-size", type=positive, default=256, metavar="N", help="images per step [256]")
    group.add_argument(
        "--optimizer",
        type=one_of("optimizer", ["SGD", "Adam", "AdamW"]),
        default="SGD",
        metavar="NAME",
        help="SGD, Adam or AdamW [SGD]",
    )
    group.add_argument(
        "--lr", "--learning-rate", type=positive_number, default=0.1, metavar="X", help="initial learning rate [0.1]"
    )
    group.add_argument("--momentum", type=natural_number, default=0.9, metavar="X", help="momentum of SGD [0.9]")
    group.add_argument(
        "--wd",
        "--weight-decay",
        dest="weight_decay",
        type=natural_number,
        metavar="X",
        help="weight decay [SGD: 1e-4, others: 0]",
    )
    group.add_argument("--compress", type=Path, metavar="FILE", help="schedule: a Distiller YAML file, see schedules/")
    group.add_argument(
        "--qat-policy",
        type=Path,
        metavar="FILE",
        help="train with quantization from an epoch on, as this YAML file says, see schedules/",
    )
    group.add_argument(
        "--label-smoothing",
        type=fraction,
        default=0.0,
        metavar="X",
        help="share of the target that goes to all classes alike [0]",
    )
    group.add_argument(
        "--validation-split",
        "--valid-size",
        "--vs",
        dest="validation_split",
        type=fraction,
        default=0.1,
        metavar="X",
        help="fraction of the training images that choose the best epoch; with 0 the test set chooses it [0.1]",
    )
    group.add_argument(
        "--seed", type=natural, metavar="N", help="seed of everything random [a random one, which is logged]"
    )
    group.add_argument(
        "--deterministic",
        "--det",
        action="store_true",
        help="same seed, same numbers, also on CUDA; the seed is 0 where --seed is not given",
    )


def add_augmentation_options(group: argparse._ArgumentGroup) -> None:
    """How training images are varied."""
    group.add_argument(
        "--no-augmentation", action="store_true", help="train on the images as they are, not shifted or mirrored"
    )
    group.add_argument(
        "--erase",
        type=natural,
        default=0,
        metavar="N",
        help="black out a square of N x N pixels at a random place in every training image [0: none]",
    )
    group.add_argument(
        "--cutmix",
        type=fraction,
        default=0.0,
        metavar="X",
        help="share of the training images that a rectangle of another one is pasted into; the target has both labels, "
        "by their areas [0]",
    )


def add_distillation_options(group: argparse._ArgumentGroup) -> None:
    """A larger network to learn from; the names are Distiller's."""
    models = [name for device in devices.DEVICES for name in device.models]
    group.add_argument(
        "--kd-teacher",
        type=one_of("model", models),
        metavar="NAME",
        help="learn from the scores of this trained network too, which may be for another device",
    )
    group.add_argument("--kd-resume", type=Path, metavar="FILE", help="float weights of the teacher")
    group.add_argument(
        "--kd-temp",
        "--kd-temperature",
        type=positive_number,
        default=1.0,
        metavar="X",
        help="both networks' scores are divided by this [1]",
    )
    group.add_argument(
        "--kd-distill-wt",
        "--kd-dw",
        type=natural_number,
        default=0.5,
        metavar="X",
        help="weight of the teacher's part of the loss [0.5]",
    )
    group.add_argument(
        "--kd-student-wt",
        "--kd-sw",
        type=natural_number,
        default=0.5,
        metavar="X",
        help="weight of the labels' part of the loss [0.5]",
    )


def add_start_options(group: argparse._ArgumentGroup) -> None:
    """Where the weights come from."""
    group.add_argument(
        "--resume-from",
        metavar="FILE",
        help="continue an interrupted run from its checkpoint.pth.tar; 'auto' finds the newest run of the same "
        "name and options under --out-dir, and starts a new one when there is none",
    )
    group.add_argument("--exp-load-weights-from", type=Path, metavar="FILE", help="start from these weights at epoch 0")
    group.add_argument(
        "--reset-optimizer",
        action="store_true",
        help="with --resume-from: keep only the weights, start at epoch 0 with a fresh optimizer",
    )


def add_evaluation_options(group: argparse._ArgumentGroup) -> None:
    """What to do with a trained network."""
    group.add_argument(
        "-e",
        "--evaluate",
        action="store_true",
        help="evaluate the weights of --exp-load-weights-from on the test set, and stop",
    )
    group.add_argument(
        "-8",
        "--8-bit-mode",
        dest="simulate",
        action="store_true",
        help="with --evaluate or an analysis: compute with the integers of the device, on weights of ai84ize.py",
    )
    group.add_argument(
        "--check", action="store_true", help="only check that the untrained network fits the device, and print it"
    )
    group.add_argument("--truncate-testset", action="store_true", help="with --evaluate: only the first test image")
    group.add_argument(
        "--save-sample",
        type=natural,
        metavar="N",
        help="with -8 --evaluate: write test image N as sample_<data set>.npy, and .json with its class",
    )
    group.add_argument(
        "--save-scores",
        type=Path,
        metavar="FILE.npy",
        help="with --evaluate: write the network's output for every test image, in order",
    )
    group.add_argument("--json", type=Path, metavar="FILE", help="with --evaluate: write accuracy and loss as JSON")


def add_output_options(group: argparse._ArgumentGroup) -> None:
    """What to write and to print."""
    group.add_argument(
        "--confusion", action="store_true", help="confusion matrix of the test set, to log and TensorBoard"
    )
    group.add_argument("-p", "--print-freq", type=positive, default=10, metavar="N", help="report every N batches [10]")
    group.add_argument("-n", "--name", metavar="NAME", help="prefix of the log directory")
    group.add_argument(
        "-o", "--out-dir", type=Path, default=Path("logs"), metavar="DIR", help="where log directories go [logs]"
    )
    group.add_argument("--per-class", action="store_true", help="accuracy of each class of the test set, to the log")
    group.add_argument(
        "--param-hist", action="store_true", help="histograms of the weights after every epoch, to TensorBoard"
    )
    group.add_argument("--no-tensorboard", action="store_true", help="write no TensorBoard events")


def check_combination(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Exit with status 2 for options that do not go together."""
    evaluating = {
        "--truncate-testset": options.truncate_testset,
        "--json": options.json,
        "--save-scores": options.save_scores,
        "--save-sample": options.save_sample is not None,
    }
    for name, given in evaluating.items():
        if given and not options.evaluate:
            parser.error(f"{name} needs --evaluate")
    integers = analysis_options.WITH_INTEGERS
    if options.simulate and not options.evaluate and analysis_options.chosen(options) not in integers:
        parser.error(f"-8 needs --evaluate or one of {', '.join(integers)}")
    if options.save_sample is not None and not options.simulate:
        parser.error("--save-sample needs -8: the sample holds the device's integers")
    if options.evaluate and options.exp_load_weights_from is None:
        parser.error("--evaluate needs --exp-load-weights-from FILE")
    if options.evaluate and options.resume_from is not None:
        parser.error("--evaluate and --resume-from exclude each other")
    if options.resume_from not in (None, "auto") and options.exp_load_weights_from is not None:
        parser.error("--resume-from FILE and --exp-load-weights-from exclude each other; auto goes with it")
    if options.arch not in options.device.models:
        owner = next(device for device in devices.DEVICES if options.arch in device.models)
        parser.error(f"{options.arch} is a network for {owner.name}: give --device {owner.synonyms[0]}")
    if options.batch_norm and "batch_norm" not in signature(options.device.models[options.arch]).parameters:
        parser.error(f"--batch-norm needs biases, and {options.arch} has no constant channel that makes them on AI84")
    if (options.kd_teacher is None) != (options.kd_resume is None):
        parser.error("--kd-teacher NAME and --kd-resume FILE need each other")
    for name in ("erase", "cutmix"):
        if getattr(options, name) and options.no_augmentation:
            parser.error(f"--{name} and --no-augmentation exclude each other")
    if options.image_size is not None and options.dataset != datasets.imagefolder.NAME:
        parser.error(f"--image-size needs --dataset {datasets.imagefolder.NAME}")
    if options.reset_optimizer and options.resume_from is None:
        parser.error("--reset-optimizer needs --resume-from")
    analysis_options.check_combination(parser, options)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a command line; exits with status 2 when they are wrong."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    options.device = devices.find(options.device)
    check_combination(parser, options)
    options.data = options.data.expanduser()
    if options.weight_decay is None:
        options.weight_decay = 1e-4 if options.optimizer == "SGD" else 0.0
    if options.seed is None and options.deterministic:
        options.seed = 0
    return options
