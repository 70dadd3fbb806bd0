package shoal.codec.wire;

import shoal.codec.base.MalformedException;

/** What a stream is for: the varint it opens with. Each kind has one verticle that takes its streams. */
public enum StreamKind {
    /** Hello and welcome; the first stream of every connection. */
    CONTROL(0),
    /** Kademlia's questions, one a stream. */
    DHT(1),
    /** File lists, metadata, pieces; many questions on one stream, answered in order. */
    PIECES(2),
    /** Token ids and activations from stage to stage, sampled tokens to the coordinator; one way. */
    STAGE(3),
    /** A program asks the coordinator for text; the answer streams back. */
    GENERATE(4),
    /** A file is uploaded, piece by piece, by somebody who may. */
    PUSH(5),
    /** Heartbeats between a coordinator and the machines that it gives work to; a machine's owner sends it to rest. */
    WATCH(6),
    /** A coordinator that stands by hears which answers are under way at the one that works. */
    JOURNAL(7),
    /** A coordinator hands a program's HTTP request on to another one, whose model is asked for. */
    DOOR(8);

    private final int number;

    StreamKind(int number) {
        this.number = number;
    }

    public int number() {
        return number;
    }

    /** @throws MalformedException for a number that no kind has */
    public static StreamKind ofNumber(long number) {
        for (StreamKind kind : values()) {
            if (kind.number == number) {
                return kind;
            }
        }
        throw new MalformedException("stream kind is " + number + ", allowed 0..8");
    }
}
