#include "reader.h"

#include "check.h"

void reader_init(reader *of, source *stream, uint64_t seed)
{
    *of = (reader){ .of = stream, .ring = stream->stream.ring, .random = seed };
}

void reader_free(reader *of)
{
    free(of->gaps.gaps);
    free(of->chunk);
}

void reader_refresh(reader *of)
{
    jc_gap taken[7];
    uint32_t count;
    uint64_t next_frame = jc_ring_next_frame(of->ring);
    uint64_t settled_frame = jc_ring_settled_frame(of->ring);
    CHECK(settled_frame >= of->settled_frame, "settled %" PRIu64 " after %" PRIu64, settled_frame, of->settled_frame);
    CHECK(jc_ring_next_frame(of->ring) >= next_frame, "next frame below %" PRIu64, next_frame);
    do {
        count = jc_ring_take_gaps(of->ring, taken, 7);
        for (uint32_t i = 0; i < count; i++) {
            const jc_gap *last = of->gaps.count ? &of->gaps.gaps[of->gaps.count - 1] : NULL;
            const jc_gap *gap = &taken[i];
            CHECK(gap->frames != 0 && (last == NULL || gap->frame >= last->frame + last->frames),
                  "a gap at %" PRIu64 " of %" PRIu64 " frames overlaps the one before", gap->frame, gap->frames);
            gap_list_add(&of->gaps, gap->frame, gap->frames, gap->delivered, gap->cause);
        }
    } while (count == 7);
    uint64_t delivered = jc_ring_delivered(of->ring);
    CHECK(delivered >= of->delivered, "delivered %" PRIu64 " after %" PRIu64, delivered, of->delivered);
    of->settled_frame = settled_frame;
    of->delivered = delivered;
}

void reader_pass(reader *of, int is_last)
{
    if (jc_ring_cycles(of->ring) == 0)
        return;
    if (of->of->channels)
        reader_pass_audio(of, is_last);
    else
        reader_pass_midi(of, is_last);
}
