/**
 * Every word that peers say over QUIC, and nothing about when they say it. A stream opens with its {@link
 * shoal.codec.wire.StreamKind} as a varint; after it come frames: type (varint), payload size (varint), payload. Integers
 * without another note are varints (RFC 9000 §16); fixed-size ones are big-endian; activations are little-endian.
 */
@NullMarked
package shoal.codec.wire;

import org.jspecify.annotations.NullMarked;
