#!/usr/bin/env python3
"""Output tokens a second of Hugging Face transformers with its continuous batching: what kernels/gpu-check puts beside ours.

  bench/transformers-peer.py DEVICE SHAPE PROMPT TOKENS STREAMS:REQUESTS...

DEVICE is cuda or cpu, SHAPE a config.json (bench/shapes); weights are random, in bf16, made on the device, so nothing is downloaded. So many requests of PROMPT
random ids in and TOKENS out, greedily, STREAMS of them always under way. Prints a row of gpu-check's table for each. Where something is missing it says "not run: ".
"""
import json
import os
import random
import statistics
import sys
import time
import traceback

ROUNDS, ENOUGH_S, MOST_S = 3, 90, 150
FASTEST_FIRST = ("flash_attention_3", "flash_attention_2", "sdpa", "paged|eager")


def not_run(why):
    print("not run:", " ".join(str(why).split())[:300])
    raise SystemExit(3)


class Batching:
    def __init__(self, model, attention, prompt, tokens, most):
        from transformers import GenerationConfig
        self.prompt, self.tokens, self.vocabulary = prompt, tokens, model.config.vocab_size
        self.ids = random.Random(1)
        model.set_attn_implementation(attention)
        how = GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=-1, pad_token_id=0)
        try:
            from transformers.generation.continuous_batching.utils import WorkloadHints
            hints = {"workload_hints": WorkloadHints(prompt, tokens, most)}
        except (ImportError, TypeError):
            hints = {}
        self.manager = model.init_continuous_batching(generation_config=how, **hints)
        # Captures its graphs, where it has a way to do so before the first request.
        getattr(self.manager, "warmup", lambda: None)()
        self.manager.start()

    def submit(self):
        self.manager.add_request([self.ids.randrange(self.vocabulary) for _ in range(self.prompt)], max_new_tokens=self.tokens)

    def seconds(self, streams, requests):
        began, sent, done = time.perf_counter(), 0, 0
        while done < requests:
            while sent < min(requests, done + streams):
                self.submit()
                sent += 1
            result = self.manager.get_result(timeout=1)
            if result is not None:
                if result.error or len(result.generated_tokens) != self.tokens:
                    raise RuntimeError(f"a request ended with {len(result.generated_tokens)} of {self.tokens} tokens: {result.error}")
                done += 1
            elif not self.manager.is_running():
                raise RuntimeError("the thread of its batches has ended")
            if time.perf_counter() - began > MOST_S:
                raise RuntimeError(f"{done} of {requests} requests are done after {MOST_S} s")
        return time.perf_counter() - began


def batching(model, *workload):
    wrong = []
    for attention in FASTEST_FIRST:
        made = None
        try:
            made = Batching(model, attention, *workload)
            made.seconds(2, 2)
            return made
        except Exception as e:
            wrong.append(f"{attention}: {e}")
            if made is not None:
                made.manager.stop(block=True, timeout=10)
    not_run("no kind of attention of transformers works: " + "; ".join(wrong))


def main(device, shape, prompt, tokens, *works):
    prompt, tokens, works = int(prompt), int(tokens), [tuple(int(n) for n in work.split(":")) for work in works]
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import torch
        import transformers
    except Exception as e:
        not_run(f"python3 here cannot import PyTorch and transformers ({e})")
    if device == "cuda" and not torch.cuda.is_available():
        not_run("the PyTorch of python3 here finds no CUDA device")
    if not hasattr(transformers.LlamaForCausalLM, "init_continuous_batching"):
        not_run(f"transformers {transformers.__version__} has no continuous batching")
    with open(shape) as file, torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**json.load(file)), dtype=torch.bfloat16).eval()
    run = batching(model, prompt, tokens, max(streams for streams, _ in works))
    by = f"{transformers.__version__}, {model.config._attn_implementation.replace('paged|', '')}"
    name = os.path.splitext(os.path.basename(shape))[0]
    for streams, requests in works:
        began, taken = time.perf_counter(), []
        run.seconds(streams, streams)
        while len(taken) < ROUNDS and (not taken or time.perf_counter() - began < ENOUGH_S):
            taken.append(run.seconds(streams, requests))
        s = statistics.median(taken)
        what = f"{name} in bf16, {requests} requests, {streams} at a time, {prompt} tokens in, {tokens} out"
        print(f"transformers, {what}\t{s * 1e3:.4f}\t{requests * tokens / s:.1f}\ttokens/s, median of {len(taken)} ({by})\t")


if __name__ == "__main__":
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    status = 1
    try:
        main(*sys.argv[1:])
        status = 0
    except SystemExit:
        status = 3
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    # The manager's thread would be waited for until all its requests are done.
    os._exit(status)
