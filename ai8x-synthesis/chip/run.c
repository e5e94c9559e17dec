/* One layer (AI84 1.4, 1.5; AI85 1.3, 1.4, 18.3). The whole input is read before anything is written. */
#include "work.h"

#include <stdlib.h>

static int32_t prepare(struct chip *chip, const struct layer *layer, struct work *work)
{
    size_t plane, pixels = (size_t)layer->rows.output * layer->columns.output;

    if (list_channels(chip, layer, work))
        return chip->fault.code;
    work->size = layer->rows.kernel * layer->columns.kernel;
    work->taps = (work->channels * work->size + VECTOR - 1) / VECTOR * VECTOR;
    work->height = layer->rows.pooled + 2 * layer->rows.pad;
    work->width = layer->columns.pooled + 2 * layer->columns.pad;
    plane = (size_t)work->height * work->width;
    work->planes = calloc(work->channels * plane + 1, sizeof *work->planes);
    work->unknown = calloc(work->channels * plane + 1, 1);
    work->weights = calloc(((size_t)layer->slots + BLOCK) * work->taps + 1, sizeof *work->weights);
    work->patches = calloc((size_t)layer->columns.output * work->taps + 1, sizeof *work->patches);
    work->bias = calloc(layer->slots + 1, sizeof *work->bias);
    work->missing = calloc(layer->slots + 1, sizeof *work->missing);
    work->results = malloc((layer->slots * pixels + 1) * sizeof *work->results);
    if (!work->planes || !work->unknown || !work->weights || !work->patches || !work->bias || !work->missing
        || !work->results)
        return fault(chip, CHIP_MEMORY, 0, "out of memory");
    for (uint32_t c = 0; c < work->channels; c++) {
        work->channel[c].plane = work->planes + c * plane;
        work->channel[c].unknown = work->unknown + c * plane;
    }
    return CHIP_OK;
}

static void release(const struct work *work)
{
    free(work->channel);
    free(work->planes);
    free(work->unknown);
    free(work->weights);
    free(work->patches);
    free(work->bias);
    free(work->missing);
    free(work->results);
}

static int32_t compute(struct chip *chip, const struct layer *layer, struct work *work)
{
    if (prepare(chip, layer, work) || check_writing(chip, layer) || fetch(chip, layer, work))
        return chip->fault.code;
    if (!layer->kernels) {
        store_planes(chip, layer, work);
        return CHIP_OK;
    }
    fetch_kernels(chip, layer, work);
    if (fetch_biases(chip, layer, work))
        return chip->fault.code;
    convolve(layer, work);
    store_results(chip, layer, work);
    return CHIP_OK;
}

int32_t run_layer(struct chip *chip, const struct layer *layer)
{
    struct work work = {0};
    int32_t code = compute(chip, layer, &work);

    release(&work);
    return code;
}
