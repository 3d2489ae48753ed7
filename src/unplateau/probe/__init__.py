"""The job ``probe``: plans the cheapest experiments that tell the leading causes apart, runs them, and keeps what they told.

``site`` finds the checkpoint and the data, ``plan`` chooses, ``words`` makes commands of arms, ``execute`` runs them as
processes of the trainer, ``collect`` reads them and writes the evidence. Nothing here loads torch.
"""
