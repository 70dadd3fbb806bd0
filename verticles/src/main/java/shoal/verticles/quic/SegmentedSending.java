package shoal.verticles.quic;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.channel.socket.DatagramPacket;
import io.netty.channel.unix.SegmentedDatagramPacket;
import io.netty.handler.codec.quic.EpollQuicUtils;
import io.netty.handler.codec.quic.SegmentedDatagramPacketAllocator;
import io.vertx.core.Vertx;
import java.net.InetSocketAddress;

/**
 * Hands the system several datagrams of one size as one, which it cuts apart as late as it can (generic segmentation
 * offload, GSO: UDP_SEGMENT of Linux). On loopback alone: a path with delay and a short queue was used less well with it.
 * Where the system refuses it each datagram goes by itself from then on; what was refused counts as lost and is sent anew.
 */
final class SegmentedSending implements SegmentedDatagramPacketAllocator {
    /** What one datagram can hold, and so what the system takes at once. */
    private static final int MAX_BYTES = 65_000;

    private final SegmentedDatagramPacketAllocator packets;
    private volatile boolean refused;

    /** @param payloadBytes of one datagram */
    SegmentedSending(Vertx vertx, int payloadBytes) {
        boolean loopback = payloadBytes == UdpTuning.LOOPBACK_PAYLOAD_BYTES;
        packets = loopback && vertx.isNativeTransportEnabled()
                ? EpollQuicUtils.newSegmentedAllocator(MAX_BYTES / payloadBytes)
                : NONE;
    }

    /** 0 for none: each datagram by itself. */
    @Override
    public int maxNumSegments() {
        return refused ? 0 : packets.maxNumSegments();
    }

    @Override
    public DatagramPacket newPacket(ByteBuf bytes, int segmentBytes, InetSocketAddress to) {
        return packets.newPacket(bytes, segmentBytes, to);
    }

    void refused() {
        refused = true;
    }

    /** Sees what the system refuses. Stands before the codec. */
    final class Watch extends ChannelOutboundHandlerAdapter {
        @Override
        public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
            if (message instanceof SegmentedDatagramPacket) {
                context.write(message, promise.unvoid()).addListener(written -> {
                    if (!written.isSuccess() && context.channel().isActive()) {
                        refused();
                    }
                });
            } else {
                context.write(message, promise);
            }
        }
    }
}
