package shoal.verticles.quic;

import static io.netty.handler.codec.quic.QuicChannelOption.SEGMENTED_DATAGRAM_PACKET_ALLOCATOR;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.FixedRecvByteBufAllocator;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.handler.codec.quic.FlushStrategy;
import io.netty.handler.codec.quic.QuicCodecBuilder;
import io.netty.handler.codec.quic.QuicServerCodecBuilder;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.internal.ContextInternal;
import io.vertx.core.internal.VertxInternal;
import io.vertx.core.internal.quic.QuicConnectionInternal;
import io.vertx.core.net.ClientSSLOptions;
import io.vertx.core.net.QuicClientConfig;
import io.vertx.core.net.QuicConnection;
import io.vertx.core.net.QuicServerConfig;
import io.vertx.core.net.ServerSSLOptions;
import io.vertx.core.net.impl.ServerID;
import io.vertx.core.net.impl.quic.QuicClientImpl;
import io.vertx.core.net.impl.quic.QuicServerImpl;
import io.vertx.core.spi.metrics.TransportMetrics;

/**
 * What Vert.x does not let its users set: the size of datagrams, how many go together, when they are flushed, and the socket's buffers. The size of
 * datagrams is the one big lever on CPU per byte. Subclasses of Vert.x's own, internal, classes.
 */
final class UdpTuning {
    /** Fits the loopback interface's packets with room; nothing else is known to carry it. */
    static final int LOOPBACK_PAYLOAD_BYTES = 16_000;

    /** Fits Ethernet's 1,500 bytes behind IPv6 and UDP headers. */
    static final int NETWORK_PAYLOAD_BYTES = 1_452;

    /** A datagram that is larger than the receive buffer is lost without a word, so all endpoints can take the largest. */
    private static final int RECEIVE_BUFFER_BYTES = 16_384;

    /** Datagrams in one call of the system, recvmmsg, where there is epoll. */
    private static final int RECEIVED_TOGETHER = 16;

    private static final int FLUSH_BYTES = 256 * 1024;
    private static final int SOCKET_BUFFER_BYTES = 4 << 20;

    /**
     * Of the socket, before its writers are told to wait. The codec flushes whenever that happens: below {@link #FLUSH_BYTES} hardly two
     * datagrams would go together.
     */
    private static final WriteBufferWaterMark WAITING_BYTES =
            new WriteBufferWaterMark(2 * FLUSH_BYTES, 4 * FLUSH_BYTES);

    private UdpTuning() {}

    private static void tune(QuicCodecBuilder<?> builder, int payloadBytes) {
        builder.maxSendUdpPayloadSize(payloadBytes);
        builder.maxRecvUdpPayloadSize(LOOPBACK_PAYLOAD_BYTES);
        builder.flushStrategy(FlushStrategy.afterNumBytes(FLUSH_BYTES));
    }

    private static ChannelHandler tuned(ChannelHandler handler, SegmentedSending sending) {
        return new ChannelInitializer<>() {
            @Override
            protected void initChannel(Channel channel) {
                channel.config().setOption(ChannelOption.SO_RCVBUF, SOCKET_BUFFER_BYTES);
                channel.config().setOption(ChannelOption.SO_SNDBUF, SOCKET_BUFFER_BYTES);
                boolean together =
                        channel.config().setOption(EpollChannelOption.MAX_DATAGRAM_PAYLOAD_SIZE, RECEIVE_BUFFER_BYTES);
                int bytes = together ? RECEIVED_TOGETHER * RECEIVE_BUFFER_BYTES : RECEIVE_BUFFER_BYTES;
                channel.config()
                        .setOption(
                                ChannelOption.RECVBUF_ALLOCATOR,
                                new FixedRecvByteBufAllocator(bytes).maxMessagesPerRead(64));
                channel.config().setOption(ChannelOption.WRITE_BUFFER_WATER_MARK, WAITING_BYTES);
                channel.pipeline().addLast(sending.new Watch(), handler);
            }
        };
    }

    /** Takes connections. */
    static final class Server extends QuicServerImpl {
        private final int payloadBytes;
        private final SegmentedSending sending;

        Server(Vertx vertx, QuicServerConfig config, ServerSSLOptions ssl, int payloadBytes) {
            super((VertxInternal) vertx, config, null, ssl);
            this.payloadBytes = payloadBytes;
            sending = new SegmentedSending(vertx, payloadBytes);
        }

        @Override
        protected Future<QuicCodecBuilder<?>> codecBuilder(ContextInternal context, TransportMetrics<?> metrics)
                throws Exception {
            return super.codecBuilder(context, metrics).map(builder -> {
                tune(builder, payloadBytes);
                ((QuicServerCodecBuilder) builder).option(SEGMENTED_DATAGRAM_PACKET_ALLOCATOR, sending);
                return builder;
            });
        }

        @Override
        protected Future<ChannelHandler> channelHandler(
                ContextInternal context, ServerID id, TransportMetrics<?> metrics) throws Exception {
            return super.channelHandler(context, id, metrics).map(handler -> tuned(handler, sending));
        }
    }

    /** Makes connections. */
    static final class Client extends QuicClientImpl {
        private final int payloadBytes;
        private final SegmentedSending sending;

        Client(Vertx vertx, QuicClientConfig config, ClientSSLOptions ssl, int payloadBytes) {
            super((VertxInternal) vertx, config, null, ssl);
            this.payloadBytes = payloadBytes;
            sending = new SegmentedSending(vertx, payloadBytes);
        }

        @Override
        protected Future<QuicCodecBuilder<?>> codecBuilder(ContextInternal context, TransportMetrics<?> metrics)
                throws Exception {
            return super.codecBuilder(context, metrics).map(builder -> {
                tune(builder, payloadBytes);
                return builder;
            });
        }

        @Override
        protected Future<ChannelHandler> channelHandler(
                ContextInternal context, ServerID id, TransportMetrics<?> metrics) throws Exception {
            return super.channelHandler(context, id, metrics).map(handler -> tuned(handler, sending));
        }

        /** To be told of each connection that was made: its codec takes no options of channels to come. */
        void made(QuicConnection connection) {
            ((QuicConnectionInternal) connection)
                    .channelHandlerContext()
                    .channel()
                    .config()
                    .setOption(SEGMENTED_DATAGRAM_PACKET_ALLOCATOR, sending);
        }
    }
}
