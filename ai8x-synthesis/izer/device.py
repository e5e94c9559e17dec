"""The devices as frozen data. Numbers in comments are sections of the AI84 hardware reference."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Device:
    """Sizes, limits and addresses of one accelerator; addresses are bytes, data memory sizes are 32-bit words."""

    name: str
    number: int

    base: int  # address of group 0
    group_stride: int
    groups: int
    group_processors: int

    layer_registers: int  # offset of register 0, layer 0 in a group
    register_stride: int
    tram: int
    tram_stride: int
    mask_ram: int
    mask_ram_stride: int
    mask_columns: int
    bias_ram: int
    bias_entries: int
    data_memory: int
    instance_stride: int
    instance_words: int

    max_layers: int
    max_channels: int
    max_counter: int
    max_pad: int
    poolings: tuple[tuple[int, int], ...]  # legal (size, stride)

    @property
    def processors(self) -> int:
        """Number of processors in all groups."""
        return self.groups * self.group_processors

    @property
    def instance_bytes(self) -> int:
        """Capacity of one data memory instance."""
        return 4 * self.instance_words

    def at(self, base: int) -> "Device":
        """The same device with its accelerator at another address."""
        return replace(self, base=base)

    def group(self, group: int) -> int:
        """Address of a group; its first register is CTL (2.1)."""
        return self.base + self.group_stride * group

    def layer_register(self, group: int, register: int, layer: int) -> int:
        """Address of a layer register; registers are grouped by register, not by layer (2.2, LREG)."""
        return self.group(group) + self.layer_registers + self.register_stride * register + 4 * layer

    def kernel(self, processor: int, column: int) -> int:
        """Address of word 0 of a mask RAM entry; `processor` counts through all groups (2.2, MRAM)."""
        group, local = divmod(processor, self.group_processors)
        return self.group(group) + self.mask_ram + self.mask_ram_stride * local + 16 * column

    def bias(self, group: int, entry: int) -> int:
        """Address of a bias RAM entry (2.2, BRAM)."""
        return self.group(group) + self.bias_ram + 4 * entry

    def data(self, instance: int, word: int) -> int:
        """Address of a data memory word; `instance` counts through all groups (2.2, SRAM)."""
        group, local = divmod(instance, self.group_processors // 4)
        return self.group(group) + self.data_memory + self.instance_stride * local + 4 * word

    def tram_entry(self, group: int, processor: int, entry: int) -> int:
        """Address of a TRAM entry; `processor` counts within the group (2.2, TRAM)."""
        return self.group(group) + self.tram + self.tram_stride * processor + 4 * entry


AI84 = Device(
    name="AI84",
    number=84,
    base=0x50100000,  # 2.1
    group_stride=0x100000,
    groups=4,  # 1.1
    group_processors=16,
    layer_registers=0x10,  # 2.1, 3.2
    register_stride=0x80,
    tram=0x800,  # 2.1, 2.2
    tram_stride=0x400,
    mask_ram=0x4800,
    mask_ram_stride=0x800,
    mask_columns=128,
    bias_ram=0xC800,
    bias_entries=256,
    data_memory=0x10000,
    instance_stride=0x4000,
    instance_words=4096,
    max_layers=32,  # 9.1
    max_channels=64,
    max_counter=256,
    max_pad=2,
    poolings=((2, 1), (2, 2), (4, 4)),
)

DEVICES = {device.number: device for device in (AI84,)}
